//! Which settings a reload may change, and which need a restart.
//!
//! A setting is *live* when everything that depends on it reads it anew each time, or is notified. Addresses, ports,
//! cores and the limits that memory was planned with are not live: they belong to sockets and threads that already
//! exist. [`settings`] says which settings are live. A test changes every setting and checks that [`effective`] agrees
//! with it.

use std::collections::BTreeMap;

use super::{Config, Settings, settings};

/// Whether a reload changes the setting with this name.
#[must_use]
pub fn is_live(key: &str) -> bool {
    settings::find(key).is_some_and(|setting| setting.is_live)
}

/// The names of the settings in which the two differ, as they are written in the file, in order.
#[must_use]
pub fn between(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (flat(old), flat(new));
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().cloned().collect()
}

/// Every setting's value, by its name.
fn flat(config: &Config) -> BTreeMap<String, toml::Value> {
    let mut settings = BTreeMap::new();
    // Settings are strings, numbers and lists, so this conversion cannot fail.
    for (key, value) in toml::Table::try_from(Settings::from(config)).unwrap_or_default() {
        match value {
            toml::Value::Table(table) => {
                settings.extend(table.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
            }
            value => _ = settings.insert(key, value),
        }
    }
    settings
}

/// The configuration that is in effect after a reload: `running` with the live settings of `new`.
#[must_use]
pub fn effective(running: &Config, new: &Config) -> Config {
    let mut config = running.clone();
    config.public_url.clone_from(&new.public_url);
    config.ice_servers.clone_from(&new.ice_servers);
    config.tls.clone_from(&new.tls);
    config.acme_webroot.clone_from(&new.acme_webroot);
    config.hsts_age = new.hsts_age;
    config.log.level = new.log.level;
    config.log.addresses = new.log.addresses;
    config.auth.clone_from(&new.auth);
    config.takeover = new.takeover;
    config.media.plain_clients = new.media.plain_clients;
    config.cors_origins.clone_from(&new.cors_origins);
    config.limits.waiting_viewers_max = new.limits.waiting_viewers_max;
    config.limits.waiting_time = new.limits.waiting_time;
    let (admission, changed) = (&mut config.limits.admission, &new.limits.admission);
    admission.streams_max = changed.streams_max;
    admission.viewers_per_stream_max = changed.viewers_per_stream_max;
    admission.sessions_per_address_max = changed.sessions_per_address_max;
    admission.joins_per_second_max = changed.joins_per_second_max;
    admission.joins_per_second_and_address_max = changed.joins_per_second_and_address_max;
    admission.joins_per_second_and_token_max = changed.joins_per_second_and_token_max;
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Source};

    fn load(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        // It may hold a secret.
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let environment = Environment { allowed_cores: vec![0, 1], home: Some("/h".into()), ..Environment::default() };
        Source { file: Some(file), flags: Settings::default(), environment }.load().unwrap()
    }

    /// Every setting other than by default, so that one that is forgotten below shows.
    const ALL_CHANGED: &str = "https = '[::1]:1'\nhttp = '127.0.0.1:2'\nhttp_redirect = '127.0.0.1:80'\n\
        admin = '127.0.0.1:3'\npublic_url = 'https://a.example'\ntrusted_proxies = ['10.0.0.0/8']\ncores = '0'\nio = 'mmsg'\nstate_directory = '/s'\n\
        allow_anyone = true\n[signalling]\ncores = '0'\nnice = 3\n\
        [media]\nips = ['192.0.2.1']\nport_base = 30000\nannounce = ['203.0.113.7']\nudp_only = true\ndata = false\ndscp = 34\nframe_hold_ms = 2\ncertificate_age_h = 20\nkey_lifetime_s = 61\nplain_clients_at_key_age = 'end'\nrekey_in_place = true\n[turn]\nenabled = false\n\
        [tls]\ncert = 'c'\nkey = 'k'\nacme_webroot = '/w'\nhsts_age_s = 5\n[[tls.certificates]]\ncert = 'd'\nkey = 'l'\n\
        [log]\nlevel = 'debug'\nformat = 'json'\naddresses = true\n\
        [auth]\nrequire = true\nsecret_file = 's'\njwks = 'k.json'\njwks_interval_s = 16\nwebhook = 'https://a.example/'\n\
        webhook_timeout_ms = 17\nca = 'ca.pem'\naudience = 'a'\nissuer = 'i'\nadmin_token_required = true\n\
        [publish]\ntakeover = 'any'\n[cors]\norigins = ['https://www.example.org']\n\
        [limits]\nsessions_per_worker_max = 7\nwaiting_viewers_max = 8\nwaiting_time_s = 9\nconnections_max = 10\n\
        sessions_per_address_max = 11\nconnections_per_address_max = 12\nexempt_addresses = []\n\
        sockets_max = 16\nsockets_per_address_max = 17\nsignalling_grace_s = 18\n\
        joins_per_second_max = 13\njoins_per_second_and_address_max = 19\njoins_per_second_and_token_max = 20\n\
        streams_max = 14\nviewers_per_stream_max = 15\npublisher_bitrate_max_kbps = 900\n\
        [cluster]\nengine = ['http://127.0.0.1:2379']\nname = 'c'\nnode = 'n'\nregion = 'r'\nurl = 'https://a.example'\ngeneration = 1\nca = 'c.pem'\ncert = 'n.pem'\nkey = 'k.pem'\n\
        [[ice_servers]]\nurls = ['stun:a:3478']\n";

    #[test]
    fn differences_are_named_as_the_file_names_them_and_values_are_not_shown() {
        let old = load("");
        assert_eq!(between(&old, &old), Vec::<String>::new());
        let new = load("public_url = 'https://a.example'\n[auth]\nsecret = '0123456789abcdef0123456789abcdef'\n");
        assert_eq!(between(&old, &new), ["auth.require", "auth.secret", "public_url"]);
    }

    #[test]
    fn after_a_reload_exactly_what_is_live_is_new() {
        let (old, new) = (load(""), load(ALL_CHANGED));
        let after = effective(&old, &new);
        // The shared secret excludes the file that holds it.
        let mut keys: Vec<_> = settings::all().map(|setting| setting.key).filter(|&key| key != "auth.secret").collect();
        keys.sort_unstable();
        assert_eq!(between(&old, &new), keys, "a setting is not changed above");
        let (live, fixed): (Vec<_>, Vec<_>) = between(&old, &new).into_iter().partition(|key| is_live(key));
        assert_eq!(between(&old, &after), live, "a setting is called live and not taken over, or the reverse");
        assert_eq!(between(&after, &new), fixed);
        assert!(live.len() > 25 && fixed.len() > 20, "{live:?} {fixed:?}");
        assert!(is_live("tls.cert") && !is_live("tlsx") && !is_live("log.format") && !is_live("https"));
    }
}
