//! The configuration file: any text is refused with a line for the operator or becomes settings that are written and read
//! back to the same.

use std::path::PathBuf;

use corecast::config::{Config, Environment, Settings};

use super::Seed;

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(settings) = toml::from_str::<Settings>(&text) else { return };
    for allowed_cores in [vec![0, 1, 2, 3], vec![]] {
        let environment =
            Environment { allowed_cores, home: Some(PathBuf::from("/home/someone")), ..Environment::default() };
        // The flags have the file's shape and its rules.
        match Config::load(None, &settings, &environment) {
            Ok(config) => {
                assert!(!config.cores.is_empty() && config.cores.is_sorted());
                assert!(usize::from(config.media.port_base) + config.cores.len() <= 65_536);
                assert!(config.http.is_none_or(|http| http.ip().is_loopback()));
                assert!(config.allow_anyone || config.auth.require || config.is_loopback_only());
                assert!(config.auth.can_judge() || !config.auth.require && config.admin.ip().is_loopback());
                let written: Settings = toml::from_str(&config.to_toml()).expect("what is written is read");
                assert_eq!(Config::load(None, &written, &environment).as_ref(), Ok(&config));
            }
            Err(error) => {
                let line = error.to_string();
                assert!(
                    line.contains(" = ") && line.contains(": "),
                    "names the setting, the value and the rule: {line}"
                );
            }
        }
    }
}

pub fn seeds() -> Vec<Seed> {
    let whole = r#"https = "127.0.0.1:8443"
http = "127.0.0.1:8080"
admin = "127.0.0.1:8444"
public_url = "https://live.example.org"
cores = "0,2-3"
io = "mmsg"
state_directory = "/var/lib/corecast"
allow_anyone = true

[signalling]
cores = "1"
nice = 10

[media]
ips = ["192.0.2.1", "2001:db8::1"]
port_base = 20000
announce = ["203.0.113.7"]
frame_hold_ms = 5

[tls]
cert = "/etc/corecast/chain.pem"
key = "/etc/corecast/key.pem"

[log]
level = "debug"
format = "json"

[cors]
origins = ["https://www.example.org", "*"]

[limits]
sessions_per_worker_max = 16384
waiting_viewers_max = 4096
waiting_time_s = 600
connections_max = 4096

[[ice_servers]]
urls = ["turn:turn.example.org:3478?transport=udp", "stun:[2001:db8::1]"]
username = "user"
credential = "secret"
"#;
    let auth = r#"https = "[::]:443"
admin = "[::]:444"
[log]
addresses = true
[cors]
origins = ["*.example.org", "https://*.example.net:8443"]
[auth]
require = true
secret = "0123456789abcdef0123456789abcdef"
jwks = "https://id.example.org/keys"
jwks_interval_s = 60
webhook = "http://127.0.0.1:9/hook"
webhook_timeout_ms = 500
ca = "/etc/corecast/ca.pem"
audience = "live.example.org"
issuer = "https://id.example.org"
admin_token_required = true
"#;
    let one = |text: &str| text.as_bytes().to_vec();
    vec![
        ("whole".into(), one(whole)),
        ("empty".into(), Vec::new()),
        ("cores".into(), one("cores = \"0-3\"\n[media]\nport_base = 65535\n")),
        ("public".into(), one("https = \"[::]:443\"\nallow_anyone = true\nio = \"auto\"\n")),
        ("refused".into(), one("https = \"0.0.0.0:443\"\n")),
        ("auth".into(), one(auth)),
    ]
}
