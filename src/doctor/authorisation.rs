//! Who may publish and watch: what the configuration says about it, and whether its keys and the operator's webhook can
//! be used. Secrets are not shown, and neither are URLs, which may hold one.

use super::finding::Finding;
use crate::auth::probe;
use crate::config::{Config, JwksSource};

/// Examines `[auth]`.
pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let auth = &config.auth;
    let mut findings = vec![who(config)];
    if let Some(path) = &auth.secret_file {
        findings.push(match probe::secret_file(path) {
            Ok(()) => Finding::ok("shared secret", format!("in {}, for its owner alone", path.display())),
            // The error's text already names the fix.
            Err(error) => Finding::error("shared secret", error.to_string(), ""),
        });
    }
    if let Some(source) = &auth.jwks {
        let (place, fix) = match source {
            JwksSource::File(path) => (path.display().to_string(), "put an RFC 7517 key set there"),
            JwksSource::Url(_) => {
                ("its URL".to_owned(), "see whether this host reaches auth.jwks, and auth.ca believes it")
            }
        };
        findings.push(match probe::key_set(auth, source) {
            Ok(1) => Finding::ok("key set", format!("1 key, from {place}")),
            Ok(keys) => Finding::ok("key set", format!("{keys} keys, from {place}")),
            Err(cause) => Finding::error("key set", format!("none from {place}: {cause}"), fix),
        });
    }
    if let Some(url) = &auth.webhook {
        let fix =
            "see whether this host reaches auth.webhook, and auth.ca believes it; until then everybody is refused";
        findings.push(match probe::webhook(auth, url.expose()) {
            Ok((status, time)) => {
                let found = format!("answers after {} ms ({status} to HEAD, which asks for nothing)", time.as_millis());
                Finding::ok("webhook", found)
            }
            Err(cause) => Finding::error("webhook", cause, fix),
        });
    }
    findings
}

fn who(config: &Config) -> Finding {
    let what = "may publish and watch";
    let auth = &config.auth;
    match (auth.can_judge(), auth.require) {
        (true, true) if auth.webhook.is_some() => Finding::ok(what, "whom the webhook allows"),
        (true, true) => Finding::ok(what, "who shows a good token"),
        (true, false) => Finding::warning(
            what,
            "anyone who shows no token, and who shows a good one (auth.require = false)",
            "leave auth.require out: where there is something to judge by, it is true",
        ),
        (false, _) if config.is_loopback_only() => Finding::ok(what, "anyone on this host, and nobody else"),
        (false, _) => Finding::warning(
            what,
            format!("anyone who reaches {} (allow_anyone)", config.https),
            "set auth.secret_file, auth.jwks or auth.webhook",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::finding::Level::{self, Error, Ok as Fine, Warning};
    use super::*;
    use crate::config::{Environment, Settings};

    /// What is found with this configuration: what, how it stands, and the words.
    fn found(toml: &str) -> Vec<(String, Level, String)> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.toml");
        std::fs::write(&path, toml).unwrap();
        // It may hold a secret.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let environment = Environment {
            allowed_cores: vec![0],
            state_directory: Some(directory.path().to_owned()),
            ..Environment::default()
        };
        let config = Config::load(Some(&path), &Settings::default(), &environment).unwrap();
        examine(&config)
            .into_iter()
            .map(|finding| (finding.what, finding.level, finding.found + &finding.fix))
            .collect()
    }

    /// A server for one request, whose answer is this. Returns its port.
    fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            assert!(stream.read(&mut [0; 4_096]).is_ok_and(|read| read > 0));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn the_doctor_says_who_may_publish_and_watch() {
        for (toml, level, words) in [
            ("", Fine, "anyone on this host"),
            ("https = '0.0.0.0:8443'\nallow_anyone = true", Warning, "anyone who reaches 0.0.0.0:8443"),
            ("[auth]\nsecret = '0123456789abcdef0123456789abcdef'", Fine, "who shows a good token"),
            ("[auth]\nsecret = '0123456789abcdef0123456789abcdef'\nrequire = false", Warning, "shows no token"),
        ] {
            let found = found(toml);
            assert!(found[0].1 == level && found[0].2.contains(words), "{found:?}");
        }
    }

    #[test]
    fn a_secret_file_that_others_may_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        for (mode, level) in [(0o600, Fine), (0o644, Error)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = found(&format!("[auth]\nsecret_file = '{}'", path.display()));
            assert!(found[1].0 == "shared secret" && found[1].1 == level, "{found:?}");
            assert!(!found[1].2.contains("0123456789"), "{found:?}");
        }
    }

    #[test]
    fn a_key_set_and_a_webhook_are_there_or_not_and_their_urls_are_not_shown() {
        let keys = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \
            \"alg\": \"EdDSA\", \"x\": \"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
        let there = format!("http://127.0.0.1:{}/hunter2", server(keys));
        let hook = format!("http://127.0.0.1:{}/hunter2", server("HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n"));
        // Held and not listened on: nobody else gets the port meanwhile.
        let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        held.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let gone = held.local_addr().unwrap().as_socket().unwrap();
        for (jwks, webhook, level, words) in [
            (there, hook, Fine, ["1 key,", "405 to HEAD"]),
            (format!("http://{gone}/hunter2"), format!("http://{gone}/hunter2"), Error, ["none from", "refused"]),
        ] {
            let found = found(&format!("[auth]\njwks = '{jwks}'\nwebhook = '{webhook}'\nwebhook_timeout_ms = 10000"));
            let (keys, hook) = (&found[1], &found[2]);
            assert_eq!((keys.0.as_str(), hook.0.as_str()), ("key set", "webhook"), "{found:?}");
            assert!(keys.1 == level && hook.1 == level, "{found:?}");
            assert!(keys.2.contains(words[0]) && hook.2.contains(words[1]), "{found:?}");
            assert!(found.iter().all(|(.., text)| !text.contains("hunter2")), "{found:?}");
        }
    }
}
