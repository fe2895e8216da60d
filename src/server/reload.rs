//! What may change while the node runs: certificate files when they change, and on SIGHUP the whole configuration.
//!
//! A thread of its own waits for both. Reading files, checking keys and starting threads may take a moment, for which
//! neither signalling nor a worker may wait. The configuration is read and checked whole, with everything that it
//! names, before any of it takes effect. One that cannot be used changes nothing, and the log and the service manager
//! say why. What only a start can change (addresses, cores, planned memory: [`changes`]) stays as it is, and the log
//! names it.
//!
//! The result mixes old and new settings: old addresses with new rules. So that mixture is checked too. (For example, a
//! file that moves the node to loopback and drops authorisation is right for the next start, but would open the running
//! node to everybody.)

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::log::LevelHandle;
use super::notify::Notifier;
use crate::auth::Authoriser;
use crate::config::{Auth, Config, Source, changes};
use crate::doctor::memory;
use crate::limits;
use crate::signal::live::{Change, Live};
use crate::signal::tls::watch::{Look, Stamp, Watch, stamp};
use crate::signal::tls::{self, CertificateSet, Certificates, TlsError};

/// How long signalling may take to accept a change.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(2);

/// Everything a reload needs.
pub(super) struct Reload {
    /// Where the configuration is.
    pub(super) source: Source,
    /// The settings in use: those of the start, with the live settings of the last reload.
    pub(super) running: Config,
    /// The names of a self-signed certificate.
    pub(super) names: Vec<String>,
    /// The certificates that are served.
    pub(super) certificates: Certificates,
    /// Watches the certificates' files.
    pub(super) watch: Watch,
    /// To signalling.
    pub(super) changes: flume::Sender<Change>,
    pub(super) level: LevelHandle,
    pub(super) notifier: Notifier,
    /// The status line that the service manager is told while the node serves.
    pub(super) status: String,
}

impl Reload {
    /// Starts the thread. It ends after `asked` has no sender any more.
    ///
    /// # Errors
    /// There is no thread.
    pub(super) fn start(self, asked: flume::Receiver<()>) -> io::Result<()> {
        thread::Builder::new().name("reload".to_owned()).stack_size(256 * 1024).spawn(move || self.run(&asked))?;
        Ok(())
    }

    fn run(mut self, asked: &flume::Receiver<()>) {
        let mut auth_files = stamps(&self.running.auth);
        let mut warned = None;
        loop {
            warn_of_end(&self.certificates, &mut warned);
            match asked.recv_timeout(limits::CERTIFICATE_LOOK_INTERVAL) {
                Ok(()) => {
                    self.notifier.reloading();
                    let status = match self.reload(&mut auth_files) {
                        Ok(()) => self.status.clone(),
                        Err(cause) => {
                            let cause = one_line(&cause);
                            tracing::error!(cause, "the configuration was not reloaded; all stays as it was");
                            format!("{}; the last reload was refused: {cause}", self.status)
                        }
                    };
                    self.notifier.ready(&status);
                    warned = None;
                }
                Err(flume::RecvTimeoutError::Timeout) => self.look(&mut warned),
                Err(flume::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks at the certificates' files.
    fn look(&mut self, warned: &mut Option<Instant>) {
        let Self { running, names, certificates, watch, .. } = self;
        let missing = watch.missing();
        match watch.look(certificates, || read_certificates(running, names, &missing)) {
            Look::Unchanged | Look::NotYet => {}
            Look::Replaced => {
                *warned = None;
                log_certificates(certificates);
            }
            Look::Refused(error) => tracing::warn!(
                cause = %error,
                "a certificate's files have changed and cannot be used; what was served before is served on until they can"
            ),
        }
    }

    /// Reads all of it, then puts all of it in place.
    fn reload(&mut self, auth_files: &mut Vec<Stamp>) -> Result<(), String> {
        let new = self.source.load().map_err(|error| error.to_string())?;
        let (live, fixed): (Vec<_>, Vec<_>) =
            changes::between(&self.running, &new).into_iter().partition(|key| changes::is_live(key));
        let effective = changes::effective(&self.running, &new);
        effective.check(&self.source.environment).map_err(|error| {
            format!("what could change now does not fit what cannot ({}): {error}; restart the node", fixed.join(", "))
        })?;
        let watch = Watch::new(&effective.tls);
        let missing: Vec<_> = watch.missing().into_iter().filter(|file| !self.watch.has_read(file)).collect();
        let set = read_certificates(&effective, &self.names, &missing).map_err(|error| error.to_string())?;
        let now_auth_files = stamps(&effective.auth);
        let judges_anew = effective.auth != self.running.auth
            || effective.log.addresses != self.running.log.addresses
            || now_auth_files != *auth_files;
        let authoriser = judges_anew
            .then(|| Authoriser::start(&effective.auth, &effective.limits.admission, effective.log.addresses))
            .transpose()
            .map_err(|error| error.to_string())?;

        let (in_place, is_in_place) = flume::bounded(1);
        let change = Change { live: Live::of(&effective), authoriser, in_place };
        self.changes.send_timeout(change, CHANGE_TIME_MAX).map_err(|_| "signalling does not answer".to_owned())?;
        // Signalling has accepted the change, and nothing below can be refused. A caller that waits for the end of the
        // reload must find the change in place.
        let _ = is_in_place.recv_timeout(CHANGE_TIME_MAX);
        self.certificates.put(set);
        self.watch = watch;
        self.level.set(effective.log.level);
        *auth_files = now_auth_files;
        self.running = effective;
        tracing::info!(changed = live.join(", "), "the configuration was reloaded");
        if live.iter().any(|key| key.starts_with("limits.")) {
            memory::log(&self.running);
        }
        if !fixed.is_empty() {
            tracing::warn!(settings = fixed.join(", "), "these settings have changed and wait for a restart");
        }
        log_certificates(&self.certificates);
        Ok(())
    }
}

/// Loads the certificates that the configuration names. Where an ACME client provides them, missing files are awaited
/// (`missing`).
pub(super) fn read_certificates(
    config: &Config,
    names: &[String],
    missing: &[PathBuf],
) -> Result<CertificateSet, TlsError> {
    let is_brought = config.acme_webroot.is_some();
    let awaited: Vec<PathBuf> = missing.iter().filter(|file| is_brought && !file.exists()).cloned().collect();
    if !awaited.is_empty() {
        tracing::warn!(
            files = ?awaited,
            "no certificate there yet: until the ACME client brings it, the others are served, or the self-signed one"
        );
    }
    tls::read(&config.tls, &config.state_directory, names, &awaited)
}

/// The files that are read when authorisation is set up, and not again until a reload.
fn stamps(auth: &Auth) -> Vec<Stamp> {
    [&auth.secret_file, &auth.ca].into_iter().flatten().map(|file| stamp(file)).collect()
}

/// Logs which certificates are served from now on, and until when they are valid.
pub(super) fn log_certificates(certificates: &Certificates) {
    for dates in certificates.dates() {
        tracing::info!(
            certificate = %dates.path.display(),
            name = dates.name,
            until = dates.last_day(),
            "certificate in use"
        );
    }
}

/// Says once a day which certificates should have been renewed.
fn warn_of_end(certificates: &Certificates, warned: &mut Option<Instant>) {
    if warned.is_some_and(|at| at.elapsed() < limits::CERTIFICATE_WARNING_INTERVAL) {
        return;
    }
    *warned = Some(Instant::now());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    for dates in certificates.dates().into_iter().filter(|dates| dates.is_ending(now_s)) {
        tracing::warn!(
            certificate = %dates.path.display(),
            name = dates.name,
            until = dates.last_day(),
            "{}: renew it; the files are read again by themselves",
            if dates.not_after_s < now_s { "a certificate has expired" } else { "a certificate ends soon" }
        );
    }
}

/// TOML's errors draw arrows over several lines; a log line and a status are one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
