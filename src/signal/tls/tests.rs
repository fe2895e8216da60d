//! What is read, which certificate a name gets, and what a look at changed files does.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustls::SignatureScheme;

use super::self_signed::{KEY_FILE, generate};
use super::watch::{Look, Watch, stamp};
use super::*;
use crate::config::{CertificateFiles, Tls};

const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Writes a pair for `names` under `stem`.
fn pair(directory: &Path, stem: &str, names: &[&str]) -> CertificateFiles {
    let (cert, key) = generate(&texts(names)).unwrap();
    let pair = files_of(directory, stem);
    fs::write(&pair.cert, cert).unwrap();
    fs::write(&pair.key, key).unwrap();
    pair
}

fn files_of(directory: &Path, stem: &str) -> CertificateFiles {
    CertificateFiles { cert: directory.join(format!("{stem}.pem")), key: directory.join(format!("{stem}-key.pem")) }
}

/// The file the certificate for `name` came from.
fn found(set: &CertificateSet, pairs: &[CertificateFiles], name: Option<&str>, schemes: &[SignatureScheme]) -> PathBuf {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certified = set.find(name, schemes).unwrap();
    let is_it = |pair: &&CertificateFiles| CertificateDer::from_pem_file(&pair.cert).unwrap() == certified.cert[0];
    pairs.iter().find(is_it).unwrap().cert.clone()
}

#[test]
fn the_first_start_makes_a_certificate_and_the_next_one_keeps_it() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("deep/corecast");
    let names = texts(&["localhost", "127.0.0.1", "::1"]);
    let certificates = Certificates::self_signed(&directory, &names).unwrap();
    let config = certificates.server_config().unwrap();
    assert_eq!(config.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec(), b"stun.turn".to_vec()]);
    let first = fs::read(directory.join(CERT_FILE)).unwrap();
    assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(directory.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
    read(&Tls::SelfSigned, &directory, &names, &[]).unwrap();
    assert_eq!(fs::read(directory.join(CERT_FILE)).unwrap(), first);
}

#[test]
fn a_kept_key_that_somebody_else_may_have_put_there_is_refused_with_the_fix() {
    let state = tempfile::tempdir().unwrap();
    let names = texts(&["localhost"]);
    let refused = || Certificates::self_signed(state.path(), &names).err().map(|error| error.to_string());
    assert_eq!(refused(), None);
    let key = state.path().join(KEY_FILE);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused().unwrap().contains("mode 0644"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refused(), None);
    // A link to a key elsewhere, which is somebody's choice.
    let elsewhere = state.path().join("elsewhere.pem");
    fs::rename(&key, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &key).unwrap();
    let error = refused().unwrap();
    assert!(error.contains("no plain file") && error.contains("remove both"), "{error}");
    fs::remove_file(&key).unwrap();
    fs::rename(&elsewhere, &key).unwrap();
    // Only root can give files away.
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        std::os::unix::fs::chown(&key, Some(65_534), None).unwrap();
        assert!(refused().unwrap().contains("another user (uid 65534)"));
        std::os::unix::fs::chown(&key, Some(0), None).unwrap();
        std::os::unix::fs::chown(state.path(), Some(65_534), None).unwrap();
        let error = refused().unwrap();
        assert!(error.contains("another user (uid 65534)") && error.contains("--state-directory"), "{error}");
    }
}

#[test]
fn a_directory_others_may_write_into_is_refused_with_the_fix() {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = read(&Tls::SelfSigned, state.path(), &texts(&["localhost"]), &[]).unwrap_err().to_string();
    assert!(error.contains("mode 0777") && error.contains("chmod 700"), "{error}");
}

#[test]
fn files_that_are_missing_empty_too_long_or_of_two_pairs_are_named() {
    let state = tempfile::tempdir().unwrap();
    let path = |name: &str| state.path().join(name);
    let (cert, key) = generate(&texts(&["a.test"])).unwrap();
    let (_, other_key) = generate(&texts(&["a.test"])).unwrap();
    let long = "x".repeat(300 * 1024);
    for (name, text) in [("c", cert.as_str()), ("k", &key), ("other", &other_key), ("empty", ""), ("long", &long)] {
        fs::write(path(name), text).unwrap();
    }
    let with = |cert: &str, key: &str| {
        let pair = CertificateFiles { cert: path(cert), key: path(key) };
        read(&Tls::Files(vec![pair]), state.path(), &[], &[]).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(with("c", "k"), Ok(()));
    for (cert, key, named) in [
        ("nothing", "k", "/nothing: cannot be read"),
        ("empty", "k", "/empty: holds no certificate"),
        ("long", "k", "/long: cannot be read (longer than"),
        ("k", "k", "/k: holds no certificate"),
        ("c", "empty", "/empty: cannot be read as a PEM private key"),
        ("c", "other", "/c: "),
        ("c", "other", "belong to the key in "),
    ] {
        let error = with(cert, key).unwrap_err();
        assert!(error.contains(named), "{cert} {key}: {error}");
    }
}

#[test]
fn a_known_name_gets_its_certificate_and_any_other_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let make = |stem: &str, names: &[&str]| pair(directory.path(), stem, names);
    let pairs = [
        make("first", &["first.test", "192.0.2.1"]),
        make("wild", &["*.wild.test", "Both.test"]),
        make("exact", &["a.wild.test", "both.test"]),
    ];
    let set = read(&Tls::Files(pairs.to_vec()), directory.path(), &[], &[]).unwrap();
    for (name, expected) in [
        (None, "first.pem"),
        (Some("first.test"), "first.pem"),
        (Some("FIRST.test"), "first.pem"),
        (Some("elsewhere.test"), "first.pem"),
        (Some("b.wild.test"), "wild.pem"),
        (Some("a.wild.test"), "exact.pem"),
        // A wildcard is one label, not none and not two.
        (Some("wild.test"), "first.pem"),
        (Some("b.a.wild.test"), "first.pem"),
        (Some("*.wild.test"), "wild.pem"),
        (Some("both.test"), "wild.pem"),
        (Some("test"), "first.pem"),
    ] {
        assert_eq!(found(&set, &pairs, name, ECDSA), directory.path().join(expected), "{name:?}");
    }
    // A client that understands none of its keys still gets what it named, and the alert.
    assert_eq!(found(&set, &pairs, Some("a.wild.test"), RSA), directory.path().join("exact.pem"));
    assert_eq!(
        set.dates().iter().map(|dates| dates.name.as_str()).collect::<Vec<_>>(),
        ["first.test", "*.wild.test", "a.wild.test"]
    );
}

#[test]
fn a_client_gets_the_certificate_whose_kind_of_key_it_supports() {
    let directory = tempfile::tempdir().unwrap();
    let ecdsa = pair(directory.path(), "ecdsa", &["both.test"]);
    let rsa = files_of(directory.path(), "rsa");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let params = rcgen::CertificateParams::new(texts(&["both.test"])).unwrap();
    fs::write(&rsa.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&rsa.key, key.serialize_pem()).unwrap();
    let pairs = [ecdsa.clone(), rsa.clone()];
    let set = read(&Tls::Files(pairs.to_vec()), directory.path(), &[], &[]).unwrap();
    assert_eq!(found(&set, &pairs, Some("both.test"), ECDSA), ecdsa.cert);
    assert_eq!(found(&set, &pairs, Some("both.test"), &[SignatureScheme::ED25519]), rsa.cert);
}

/// A watched pair with certificates that serve it.
struct Watched {
    directory: tempfile::TempDir,
    tls: Tls,
    certificates: Certificates,
    watch: Watch,
}

impl Watched {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tls = Tls::Files(vec![pair(directory.path(), "live", &["one.test"])]);
        let watch = Watch::new(&tls);
        let certificates = Certificates::new(read(&tls, directory.path(), &[], &[]).unwrap());
        Self { directory, tls, certificates, watch }
    }

    fn look(&mut self) -> Look {
        let (tls, directory) = (&self.tls, self.directory.path());
        self.watch.look(&self.certificates, || read(tls, directory, &[], &[]))
    }

    fn serves(&self) -> String {
        self.certificates.dates()[0].name.clone()
    }

    /// Later than what is there: a file system may tell times in ticks of milliseconds, and pairs are of one length.
    fn write(&self, cert: &str, key: &str) {
        let live = files_of(self.directory.path(), "live");
        let deadline = Instant::now() + Duration::from_secs(20);
        for (path, text) in [(live.cert, cert), (live.key, key)] {
            let before = stamp(&path);
            fs::write(&path, text).unwrap();
            while stamp(&path) == before {
                assert!(Instant::now() < deadline, "a file's times stand still");
                fs::write(&path, text).unwrap();
            }
        }
    }
}

#[test]
fn a_pair_that_changed_is_served_and_one_that_did_not_is_not_even_read() {
    let mut watched = Watched::new();
    assert_eq!(watched.look(), Look::Unchanged);
    let never = || -> Result<CertificateSet, TlsError> { panic!("read although nothing changed") };
    assert_eq!(watched.watch.look(&watched.certificates, never), Look::Unchanged);
    let (cert, key) = generate(&texts(&["two.test"])).unwrap();
    watched.write(&cert, &key);
    assert_eq!((watched.look(), watched.serves().as_str()), (Look::Replaced, "two.test"));
    assert_eq!(watched.look(), Look::Unchanged);
    // As certbot does it: names that point elsewhere now, with files as old as they like.
    let next = pair(watched.directory.path(), "next", &["three.test"]);
    let live = files_of(watched.directory.path(), "live");
    for (next, live) in [(next.cert, live.cert), (next.key, live.key)] {
        let link = watched.directory.path().join("link");
        std::os::unix::fs::symlink(next, &link).unwrap();
        fs::rename(link, live).unwrap();
    }
    assert_eq!((watched.look(), watched.serves().as_str()), (Look::Replaced, "three.test"));
}

#[test]
fn a_chain_written_before_its_key_is_no_error_yet() {
    let mut watched = Watched::new();
    let live = files_of(watched.directory.path(), "live");
    let (cert, key) = generate(&texts(&["two.test"])).unwrap();
    fs::write(&live.cert, &cert[..cert.len() / 2]).unwrap();
    assert_eq!(watched.look(), Look::NotYet);
    fs::write(&live.cert, cert).unwrap();
    assert_eq!((watched.look(), watched.serves().as_str()), (Look::NotYet, "one.test"));
    fs::write(&live.key, key).unwrap();
    assert_eq!((watched.look(), watched.serves().as_str()), (Look::Replaced, "two.test"));
}

#[test]
fn unusable_files_are_reported_once_per_change_and_the_old_stay() {
    let mut watched = Watched::new();
    let live = files_of(watched.directory.path(), "live");
    let (_, other_key) = generate(&texts(&["two.test"])).unwrap();
    let (old_cert, old_key) = (fs::read_to_string(&live.cert).unwrap(), fs::read_to_string(&live.key).unwrap());
    for wrong in ["no key", &other_key] {
        watched.write(&old_cert, wrong);
        assert_eq!(watched.look(), Look::NotYet);
        let Look::Refused(error) = watched.look() else { panic!("not told") };
        assert!(error.to_string().contains("live-key.pem"), "{error}");
        for _ in 0..3 {
            assert_eq!(watched.look(), Look::Unchanged);
        }
        assert_eq!(watched.serves(), "one.test");
    }
    fs::remove_file(&live.key).unwrap();
    assert_eq!(watched.look(), Look::NotYet);
    assert!(matches!(watched.look(), Look::Refused(TlsError::File { path, .. }) if path == live.key));
    watched.write(&old_cert, &old_key);
    assert_eq!(watched.look(), Look::Replaced);
    assert_eq!(watched.look(), Look::Unchanged);
}

#[test]
fn the_self_signed_certificate_replaces_an_awaited_one_until_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (files_of(directory.path(), "first"), files_of(directory.path(), "second"));
    let tls = Tls::Files(vec![first.clone(), second.clone()]);
    let mut watch = Watch::new(&tls);
    let names = texts(&["self.test"]);
    let set = |awaited: &[PathBuf]| read(&tls, directory.path(), &names, awaited);
    assert!(set(&[]).is_err(), "without an ACME client nothing is awaited");
    let certificates = Certificates::new(set(&watch.missing()).unwrap());
    let served = || certificates.dates().into_iter().map(|dates| dates.name).collect::<Vec<_>>();
    assert_eq!(served(), ["self.test"]);
    assert!(!watch.has_read(&second.cert));
    // One comes, then the other.
    let look = |watch: &mut Watch| {
        let awaited = watch.missing();
        watch.look(&certificates, || set(&awaited))
    };
    pair(directory.path(), "second", &["second.test"]);
    assert_eq!((look(&mut watch), served()), (Look::Replaced, texts(&["second.test"])));
    pair(directory.path(), "first", &["first.test"]);
    assert_eq!((look(&mut watch), served()), (Look::Replaced, texts(&["first.test", "second.test"])));
    assert!(watch.has_read(&second.cert));
    // What has been there is missed.
    for file in [&second.cert, &second.key] {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(look(&mut watch), Look::NotYet);
    assert!(matches!(look(&mut watch), Look::Refused(_)));
    assert_eq!(served(), ["first.test", "second.test"]);
}

#[test]
fn a_replacement_forgets_the_sessions_of_the_old_certificate() {
    use rustls::server::StoresServerSessions;
    let watched = Watched::new();
    let resolver = &watched.certificates.0;
    assert!(resolver.can_cache());
    StoresServerSessions::put(&**resolver, b"id".to_vec(), b"secret".to_vec());
    assert_eq!(resolver.get(b"id").as_deref(), Some(&b"secret"[..]));
    watched.certificates.put(read(&watched.tls, watched.directory.path(), &[], &[]).unwrap());
    assert_eq!(resolver.get(b"id"), None);
    assert_eq!(resolver.take(b"id"), None);
}

#[test]
fn a_certificate_is_ending_two_weeks_or_a_third_of_its_life_before() {
    const DAY: i64 = 24 * 3_600;
    let of = |days: i64| Dates { path: PathBuf::new(), name: String::new(), not_before_s: 0, not_after_s: days * DAY };
    for (days, age_days, expected) in
        [(90, 75, false), (90, 77, true), (6, 3, false), (6, 5, true), (90, 91, true), (90, 0, false)]
    {
        assert_eq!(of(days).is_ending(age_days * DAY), expected, "{age_days} of {days} days");
    }
    assert_eq!(of(90).last_day(), "1970-04-01");
}
