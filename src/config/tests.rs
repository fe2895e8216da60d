//! Every rule of the configuration, as a table: what is written, and what the operator reads.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn environment() -> Environment {
    Environment { allowed_cores: vec![0, 1, 2, 3], home: Some("/home/op".into()), ..Environment::default() }
}

fn load(text: &str, flags: &Settings) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    // It may hold a secret.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Config::load(Some(&path), flags, &environment())
}

#[test]
fn without_anything_the_node_serves_on_loopback_with_every_core() {
    let config = Config::load(None, &Settings::default(), &environment()).unwrap();
    assert_eq!(config.https.to_string(), "127.0.0.1:8443");
    assert_eq!(config.admin.to_string(), "127.0.0.1:8444");
    assert_eq!(config.http, None);
    assert_eq!(config.media.port_base, 20_000);
    assert_eq!(config.cores, [0, 1, 2, 3]);
    assert_eq!(config.io, IoKind::Auto);
    assert_eq!(config.tls, Tls::SelfSigned);
    assert_eq!(config.state_directory, PathBuf::from("/home/op/.local/state/corecast"));
    assert!(!config.allow_anyone && config.is_loopback_only());
}

#[test]
fn each_broken_rule_names_the_key_the_value_and_the_way_out() {
    for (text, expected) in [
        ("media.port_base = 70000", "config.toml: media.port_base = 70000: must be ≤ 65536 − number of cores"),
        ("[tls]\nacme_webroot = '/w'", "config.toml: tls.acme_webroot = /w: challenges come over plain HTTP"),
        ("[tls]\nhsts_age_s = -1", "config.toml: tls.hsts_age_s = -1: must be 0 (off) to"),
        ("tls.certificates = [{ cert = 'c', key = '' }]", "tls.certificates = "),
        ("tls.certificates = [{ cert = 'c' }]", "missing field `key`"),
        ("tls.cert = 'c'", "config.toml: tls.cert = c: needs its private key"),
        ("media.dscp = 64", "config.toml: media.dscp = 64: must be 0 (not marked) to 63"),
        ("media.certificate_age_h = 0", "config.toml: media.certificate_age_h = 0: must be 1 to 8760"),
        (
            "trusted_proxies = ['proxy.lan']",
            "config.toml: trusted_proxies = proxy.lan: must be an address or a network",
        ),
        (
            "trusted_proxies = ['10.0.0.1/8']",
            "config.toml: trusted_proxies = 10.0.0.1/8: is no network's first address",
        ),
        ("trusted_proxies = ['::/0']", "config.toml: trusted_proxies = ::/0: is everybody"),
        ("media.port_base = 65533", "config.toml: media.port_base = 65533: must be ≤ 65536 − number of cores"),
        (
            "media.key_lifetime_s = 59",
            "config.toml: media.key_lifetime_s = 59: must be 0 (never) or 60 to 604800 seconds",
        ),
        (
            "media.key_lifetime_s = 604801",
            "config.toml: media.key_lifetime_s = 604801: must be 0 (never) to 604800 seconds",
        ),
        (
            "media.plain_clients_at_key_age = 'leave'",
            "config.toml: media.plain_clients_at_key_age = leave: must be keep or end",
        ),
        ("media.frame_hold_ms = 17", "config.toml: media.frame_hold_ms = 17: must be 0 (off) to 16 milliseconds"),
        ("signalling.nice = -5", "config.toml: signalling.nice = -5: must be 0 (as media) to 19"),
        ("signalling.cores = '7'", "config.toml: signalling.cores = 7: this process may not run on core 7"),
        ("media.port_base = 0", "config.toml: media.port_base = 0: must be ≥ 1"),
        ("media.ips = ['here']", "config.toml: media.ips = here: must be an IP address"),
        ("media.announce = ['0.0.0.0']", "config.toml: media.announce = 0.0.0.0: must be an address peers can send to"),
        (
            "media.announce = ['edge:443']",
            "config.toml: media.announce = edge:443: must be an IP address, with the port",
        ),
        ("media.announce = ['192.0.2.1:0']", "config.toml: media.announce = 192.0.2.1:0: must have a port of 1 to"),
        (
            "media.announce = ['192.0.2.1:65533']",
            "config.toml: media.announce = 192.0.2.1:65533: must have a port ≤ 65536 − number of cores",
        ),
        (
            "media.announce = ['192.0.2.1:443', '192.0.2.1:30000/udp']",
            "config.toml: media.announce = 192.0.2.1:30000/udp: is the second UDP port of one address",
        ),
        (
            "media = { udp_only = true, announce = ['192.0.2.1', '192.0.2.1:443/tcp'] }",
            "config.toml: media.announce = 192.0.2.1:443/tcp: is for TCP, and media.udp_only is true",
        ),
        ("https = 'localhost:8443'", "config.toml: https = localhost:8443: must be an IP address and a port"),
        ("https = '0.0.0.0:8443'", "config.toml: https = 0.0.0.0:8443: without authorisation"),
        ("https = '0.0.0.0:8443'", "--allow-anyone"),
        ("https = '0.0.0.0:8443'", "[auth]"),
        ("https = '0.0.0.0:8443'", "auth.require = true"),
        (
            "https = '0.0.0.0:8443'\nauth = { require = false, jwks = 'k' }",
            "https = 0.0.0.0:8443: without authorisation",
        ),
        ("admin = '[::]:8444'", "config.toml: admin = [::]:8444: off loopback the operator's port is served over TLS"),
        ("admin = '[::]:8444'\nallow_anyone = true", "set a key to judge it by"),
        (
            "auth.require = true",
            "config.toml: auth.require = true: there is nothing to judge a token by: set auth.secret_f",
        ),
        ("auth.admin_token_required = true", "auth.admin_token_required = true: there is nothing to judge a token by"),
        ("auth.secret = 'too short'", "config.toml: auth.secret = (hidden): must be 32 to"),
        ("auth = { secret = 'x', secret_file = 'y' }", "auth.secret = (hidden): there is auth.secret_file too"),
        ("auth.jwks = 'http://id.example/k?key=7'", "auth.jwks = (hidden): plain http is for this host only"),
        ("auth.jwks = 'ftp://id.example/k'", "auth.jwks = (hidden): must be an https URL"),
        ("auth.webhook = 'http://127.0.0.1@a.example/'", "auth.webhook = (hidden): must be a URL without user"),
        ("auth.webhook = 'http://127.0.0.1.example/'", "auth.webhook = (hidden): plain http is for this host only"),
        ("auth.webhook = '/hook'", "auth.webhook = (hidden): must be an https URL"),
        ("auth.webhook = ''", "config.toml: auth.webhook = \"\": must not be empty"),
        ("auth.webhook_timeout_ms = 0", "config.toml: auth.webhook_timeout_ms = 0: must be 1 to 10000"),
        ("auth.jwks_interval_s = 0", "config.toml: auth.jwks_interval_s = 0: must be 1 to 86400"),
        (
            "cors.origins = ['*.org']",
            "config.toml: cors.origins = *.org: a pattern names a host of at least two labels",
        ),
        ("http = '192.0.2.1:80'\nallow_anyone = true", "config.toml: http = 192.0.2.1:80: plain HTTP is for a proxy"),
        ("cores = '0,9'", "config.toml: cores = 0,9: this process may not run on core 9: choose among 0-3"),
        ("cores = 'all'", "config.toml: cores = all: must be core numbers and ranges, like 0,2-3"),
        ("io = 'epoll'", "config.toml: io = epoll: must be `uring`, `mmsg` or `auto`"),
        ("tls.cert = 'a.pem'", "config.toml: tls.cert = a.pem: needs its private key: set tls.key"),
        ("tls.key = 'a.pem'", "config.toml: tls.key = a.pem: needs its certificate: set tls.cert"),
        ("log.level = 'loud'", "config.toml: log.level = loud: must be error, warn, info, debug or trace"),
        ("log.format = 'xml'", "config.toml: log.format = xml: must be text or json"),
        ("cors.origins = ['*']", "config.toml: cors.origins = *: name each origin"),
        ("cors.origins = ['https://*']", "name each origin"),
        ("cors.origins = ['https://a.*.example.org']", "name each origin"),
        ("cors.origins = ['https://*.*.example.org']", "name each origin"),
        ("cors.origins = ['*.example.org/x']", "must be a pattern without a path"),
        ("cors.origins = ['https://a.example/x']", "must be an origin without a path"),
        ("public_url = 'live.example.org'", "config.toml: public_url = live.example.org: must be a scheme and a host"),
        ("limits.waiting_viewers_max = -1", "config.toml: limits.waiting_viewers_max = -1: must be 1 to 1000000"),
        ("limits.waiting_time_s = 90000", "config.toml: limits.waiting_time_s = 90000: must be 1 to 86400"),
        ("limits.sessions_per_worker_max = 0", "limits.sessions_per_worker_max = 0: must be 1 to"),
        ("limits.sessions_per_address_max = 0", "limits.sessions_per_address_max = 0: must be 1 to 1000000"),
        ("limits.joins_per_second_max = -1", "limits.joins_per_second_max = -1: must be 1 to 1000000"),
        ("limits.exempt_addresses = ['10.0.0.0/8']", "limits.exempt_addresses = 10.0.0.0/8: must be an IP address"),
        ("[[ice_servers]]\nurls = ['http://a']", "config.toml: ice_servers = http://a: must be a stun:"),
        ("[[ice_servers]]\nurls = ['turn:a:3478']", "a TURN server needs username and credential"),
        ("[[ice_servers]]\nurls = []", "must name at least one url"),
        ("state_directory = ''", "config.toml: state_directory = \"\": must name a directory"),
    ] {
        let error = load(text, &Settings::default()).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}\n  gave     {error}\n  expected {expected}");
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    for (text, key) in [("htps = 'x'", "htps"), ("[media]\nport = 1", "port"), ("[[ice_servers]]\nurl = 'x'", "url")] {
        let error = load(text, &Settings::default()).unwrap_err().to_string();
        assert!(error.contains("config.toml") && error.contains(&format!("unknown field `{key}`")), "{error}");
        assert!(error.contains("expected"), "the known keys are listed: {error}");
    }
}

#[test]
fn a_missing_file_and_broken_toml_say_so() {
    let missing = Config::load(Some(Path::new("/nonexistent/c.toml")), &Settings::default(), &environment());
    assert!(missing.unwrap_err().to_string().starts_with("--config = /nonexistent/c.toml: cannot be read"));
    let broken = load("https = ", &Settings::default()).unwrap_err().to_string();
    assert!(broken.contains("config.toml") && broken.contains("line 1"), "{broken}");
}

#[test]
fn a_flag_beats_the_file_and_is_named_in_its_own_error() {
    let flags = Settings { https: Some("127.0.0.1:1".into()), cores: Some("1".into()), ..Settings::default() };
    let config = load("https = '127.0.0.1:2'\ncores = '0-3'", &flags).unwrap();
    assert_eq!((config.https.port(), config.cores), (1, vec![1]));

    let mut flags = Settings::default();
    flags.media.port_base = Some(70_000);
    let error = load("media.port_base = 20000", &flags).unwrap_err().to_string();
    assert_eq!(error, "--media-port-base = 70000: must be ≤ 65536 − number of cores");
    for (flags, name) in [
        (
            Settings {
                media: MediaSettings { ips: Some(vec!["x".into()]), ..Default::default() },
                ..Default::default()
            },
            "--media-ip = x",
        ),
        (
            Settings {
                media: MediaSettings { announce: Some(vec!["x".into()]), ..Default::default() },
                ..Default::default()
            },
            "--announce = x",
        ),
        (
            Settings { log: LogSettings { level: Some("x".into()), ..Default::default() }, ..Default::default() },
            "--log = x",
        ),
        (
            Settings { log: LogSettings { format: Some("x".into()), ..Default::default() }, ..Default::default() },
            "--log-format = x",
        ),
        (
            Settings { tls: TlsSettings { cert: Some("x".into()), ..Default::default() }, ..Default::default() },
            "--tls-cert = x",
        ),
    ] {
        let error = Config::load(None, &flags, &environment()).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn allow_anyone_serves_other_addresses_without_authorisation() {
    let config = load("https = '0.0.0.0:8443'\nallow_anyone = true", &Settings::default()).unwrap();
    assert!(config.allow_anyone && !config.is_loopback_only());
}

#[test]
fn a_configured_key_turns_authorisation_on_and_allows_any_address() {
    let secret = "0123456789abcdef0123456789abcdef";
    let config = load(
        &format!("https = '0.0.0.0:8443'\nadmin = '0.0.0.0:8444'\nauth.secret = '{secret}'"),
        &Settings::default(),
    )
    .unwrap();
    assert!(config.auth.require && !config.allow_anyone && !config.is_loopback_only());
    for hook in ["https://app.example/hook", "http://127.0.0.1:81/", "http://[::1]/x?y", "http://localhost:9/"] {
        assert!(load(&format!("auth.webhook = '{hook}'"), &Settings::default()).unwrap().auth.require, "{hook}");
    }
    let optional = load("auth = { require = false, jwks = 'keys.json' }", &Settings::default()).unwrap();
    assert!(!optional.auth.require);
    assert_eq!(optional.auth.jwks, Some(JwksSource::File("keys.json".into())));
    assert!(!load("", &Settings::default()).unwrap().auth.require);
}

#[test]
fn what_is_shown_of_the_configuration_holds_no_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    let text = format!(
        "auth = {{ secret = '{secret}', webhook = 'https://a.example/{secret}', jwks = 'https://b.example/{secret}' }}\n\
        [[ice_servers]]\nurls = ['turn:a']\nusername = 'u'\ncredential = '{secret}'\n"
    );
    let config = load(&text, &Settings::default()).unwrap();
    let shown = config.to_toml_shown();
    assert!(!shown.contains(secret) && shown.contains("secret = \"(hidden)\""), "{shown}");
    assert!(!format!("{config:?}").contains(secret));
    assert_eq!(load(&config.to_toml(), &Settings::default()).unwrap(), config);
}

#[test]
fn the_state_directory_follows_systemd_then_xdg_then_home() {
    let mut environment = environment();
    let of = |environment: &Environment| {
        Config::load(None, &Settings::default(), environment).map(|config| config.state_directory)
    };
    environment.xdg_state_home = Some("/xdg".into());
    assert_eq!(of(&environment).unwrap(), PathBuf::from("/xdg/corecast"));
    environment.state_directory = Some("/var/lib/corecast:/var/lib/other".into());
    assert_eq!(of(&environment).unwrap(), PathBuf::from("/var/lib/corecast"));
    let bare = Environment { allowed_cores: vec![0], ..Environment::default() };
    assert!(of(&bare).unwrap_err().to_string().contains("--state-directory DIR"));
}

#[test]
fn the_printed_configuration_reads_back_to_itself() {
    let full = "https = '[::1]:1'\nhttp = '127.0.0.1:2'\nhttp_redirect = '0.0.0.0:80'\nadmin = '127.0.0.1:3'\npublic_url = 'https://a.example'\n\
        cores = '0,2-3'\nio = 'mmsg'\nstate_directory = '/s'\nallow_anyone = true\n\
        [media]\nips = ['192.0.2.1', '2001:db8::1']\nport_base = 30000\nannounce = ['203.0.113.7:443']\nudp_only = true\ndata = false\ndscp = 34\nframe_hold_ms = 2\ncertificate_age_h = 20\nkey_lifetime_s = 61\nplain_clients_at_key_age = 'end'\nrekey_in_place = true\n[turn]\nenabled = false\n\
        [tls]\ncert = 'c'\nkey = 'k'\nacme_webroot = '/w'\nhsts_age_s = 19\n\
        [[tls.certificates]]\ncert = 'd'\nkey = 'l'\n[log]\nlevel = 'debug'\nformat = 'json'\naddresses = true\n\
        [auth]\nrequire = false\nsecret_file = 's'\njwks = 'k.json'\njwks_interval_s = 16\nwebhook = 'https://a.example/'\n\
        webhook_timeout_ms = 17\nca = 'ca.pem'\naudience = 'a'\nissuer = 'i'\nadmin_token_required = true\n\
        [publish]\ntakeover = 'never'\n\
        [cors]\norigins = ['https://www.example.org', '*.Example.net', 'http://*.example.net:80']\n\
        [limits]\nsessions_per_worker_max = 7\nwaiting_viewers_max = 8\nwaiting_time_s = 9\nconnections_max = 10\n\
        sessions_per_address_max = 11\nconnections_per_address_max = 12\nexempt_addresses = []\n\
        sockets_max = 16\nsockets_per_address_max = 17\nsignalling_grace_s = 18\n\
        joins_per_second_max = 13\njoins_per_second_and_address_max = 19\njoins_per_second_and_token_max = 20\nstreams_max = 14\nviewers_per_stream_max = 15\n\
        publisher_bitrate_max_kbps = 900\n\
        [[ice_servers]]\nurls = ['stun:a:3478']\n[[ice_servers]]\nurls = ['turn:b']\nusername = 'u'\ncredential = 'p'\n";
    for text in ["", full] {
        let config = load(text, &Settings::default()).unwrap();
        assert_eq!(load(&config.to_toml(), &Settings::default()).unwrap(), config);
    }
}

#[test]
fn signalling_gets_the_cores_without_a_worker_or_shares_all_of_them() {
    for (text, expected) in [
        ("cores = '0-2'", vec![3]),
        ("cores = '1'", vec![0, 2, 3]),
        ("cores = '0-3'", vec![0, 1, 2, 3]),
        ("cores = '0-3'\n[signalling]\ncores = '2'", vec![2]),
    ] {
        assert_eq!(load(text, &Settings::default()).unwrap().signalling.cores, expected, "{text}");
    }
}

#[test]
fn an_error_of_syntax_names_its_place_and_shows_no_value() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("c.toml");
    for (text, place) in [
        ("https = '127.0.0.1:1'\n[auth]\nsecert = 'hunter2'\n", "line 3, column 1: "),
        ("[auth]\nsecret = \"hunter2\n", "line 2, column "),
        ("[auth]\nrequire = 'hunter2'\n", "line 2, column 11: invalid type: string, expected a boolean"),
        ("[auth]\nsecret = 40960312\n", "line 2, column 10: invalid type: integer, expected a string"),
        ("[[ice_servers]]\nurls = ['turn:a']\ncredential = 'hunter2'\nuser = 'hunter2'\n", "line 4, column 1: "),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = Config::load(Some(&file), &Settings::default(), &Environment::default()).unwrap_err().to_string();
        assert!(error.contains(place) && !error.contains("hunter2") && !error.contains("40960312"), "{error}");
    }
}
