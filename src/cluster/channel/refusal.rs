//! Why a connection between nodes is refused, and the last refusals, for who has to mend it.
//!
//! A stranger can be refused as often as it likes. So refusals are counted, of those that are alike (kind, address, direction) the
//! last one is kept with their number, and only so many are logged.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use rustls::{AlertDescription, CertificateError};

use crate::limits;
use crate::net::clock;
use crate::rate::Allowance;
use crate::signal::ownership::report::RefusalReport;
use crate::time::Timestamp;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It shows no certificate.
    NoCertificate,
    /// The certificate is of no authority in `cluster.ca`.
    OtherAuthority,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is not for this end of a connection: its extended key usage says so.
    WrongUse,
    /// It, or its chain, is wrong in another way.
    BadCertificate,
    /// It does not say which node it is of.
    NoName,
    /// It is of a node of another cluster.
    AnotherCluster,
    /// It is of a node of another region.
    AnotherRegion,
    /// It is of another node.
    AnotherNode,
    /// It is of a node that the directory does not have.
    NotInTheCluster,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NoCertificate,
        Self::OtherAuthority,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongUse,
        Self::BadCertificate,
        Self::NoName,
        Self::AnotherCluster,
        Self::AnotherRegion,
        Self::AnotherNode,
        Self::NotInTheCluster,
    ];

    /// Its name in reports, and between nodes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::OtherAuthority => "other_authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongUse => "wrong_use",
            Self::BadCertificate => "bad_certificate",
            Self::NoName => "no_corecast_name",
            Self::AnotherCluster => "another_cluster",
            Self::AnotherRegion => "another_region",
            Self::AnotherNode => "another_node",
            Self::NotInTheCluster => "not_in_the_cluster",
        }
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Of an error in a certificate's chain.
    pub(super) fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::OtherAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongUse,
            _ => Self::BadCertificate,
        }
    }

    /// The error that makes TLS send the alert from which [`Self::told_by`] reads this again.
    pub(super) fn error(self) -> CertificateError {
        match self {
            Self::OtherAuthority => CertificateError::UnknownIssuer,
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::WrongUse => CertificateError::InvalidPurpose,
            Self::NoName => CertificateError::NotValidForName,
            Self::BadCertificate | Self::NoCertificate => CertificateError::BadEncoding,
            Self::AnotherCluster | Self::AnotherRegion | Self::AnotherNode | Self::NotInTheCluster => {
                CertificateError::ApplicationVerificationFailure
            }
        }
    }

    /// What the other end says by an alert (RFC 8446 §6.2), in which several kinds are one; with words for it.
    pub(super) fn told_by(alert: AlertDescription) -> Option<(Self, &'static str)> {
        Some(match alert {
            AlertDescription::CertificateRequired => (Self::NoCertificate, "it wants a certificate"),
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                (Self::OtherAuthority, "the certificate is of no authority in its cluster.ca")
            }
            AlertDescription::CertificateExpired => {
                (Self::Expired, "the certificate's time is over, or has not come, by its clock")
            }
            AlertDescription::UnsupportedCertificate => {
                (Self::WrongUse, "the certificate's extended key usage is not for this: both clientAuth and serverAuth")
            }
            AlertDescription::BadCertificate => (Self::NoName, "the certificate does not say which node it is of"),
            AlertDescription::AccessDenied => {
                (Self::AnotherCluster, "the certificate's name is of another cluster, or of another node")
            }
            AlertDescription::CertificateUnknown | AlertDescription::CertificateRevoked => {
                (Self::BadCertificate, "the certificate is not good enough for it")
            }
            _ => return None,
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who refused whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This node, one that has connected to it.
    Accepted,
    /// This node, the one that it has connected to.
    Dialled,
    /// The other node, this one.
    Told,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Dialled => "dialled",
            Self::Told => "told",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub kind: Kind,
    /// What exactly: what the certificate says, and what was expected.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text, self.kind)
    }
}

/// A refusal that is kept.
#[derive(Debug)]
struct Kept {
    refusal: Refusal,
    side: Side,
    address: String,
    ip: Option<IpAddr>,
    node: Option<String>,
    last: Instant,
    times: u64,
}

/// The last refusals.
#[derive(Debug)]
pub struct Refusals {
    kept: RefCell<VecDeque<Kept>>,
    counts: RefCell<BTreeMap<Kind, u64>>,
    start: Instant,
    logged: Cell<Allowance>,
    not_logged: Cell<u64>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            kept: RefCell::default(),
            counts: RefCell::default(),
            start: clock::now(),
            logged: Cell::new(Allowance::new(Timestamp::ZERO)),
            not_logged: Cell::new(0),
        }
    }
}

impl Refusals {
    /// Takes note of one. `address` is the other node's, `node` the one that was dialled.
    pub fn note(&self, side: Side, address: &str, node: Option<&str>, refusal: Refusal) {
        *self.counts.borrow_mut().entry(refusal.kind).or_default() += 1;
        self.log(side, address, node, &refusal);
        // Another port is not another stranger.
        let ip = address.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
        let mut kept = self.kept.borrow_mut();
        let is_alike = |other: &Kept| {
            let same_place = if ip.is_some() { other.ip == ip } else { other.address == address };
            other.refusal.kind == refusal.kind && other.side == side && same_place && other.node.as_deref() == node
        };
        let times = match kept.iter().position(is_alike) {
            Some(at) => kept.remove(at).map_or(0, |before| before.times),
            None => 0,
        };
        kept.truncate(limits::CHANNEL_REFUSALS_KEPT - 1);
        let (address, node) = (address.to_owned(), node.map(str::to_owned));
        kept.push_front(Kept { refusal, side, address, ip, node, last: clock::now(), times: times + 1 });
    }

    fn log(&self, side: Side, address: &str, node: Option<&str>, refusal: &Refusal) {
        let now = Timestamp::ZERO + clock::now().saturating_duration_since(self.start);
        let mut logged = self.logged.get();
        let may = logged.take(limits::CHANNEL_REFUSALS_LOGGED_AT_ONCE, limits::CHANNEL_REFUSALS_LOG_PAUSE, now);
        self.logged.set(logged);
        if !may {
            self.not_logged.set(self.not_logged.get() + 1);
            return;
        }
        let Refusal { kind, text } = refusal;
        let not_logged = self.not_logged.take();
        let kind = kind.name();
        match side {
            Side::Accepted => {
                tracing::warn!(address, kind, not_logged, "a connection of another node is refused: {text}")
            }
            Side::Dialled => tracing::warn!(address, node, kind, not_logged, "another node is refused: {text}"),
            Side::Told => tracing::warn!(address, node, kind, not_logged, "another node refuses this one: {text}"),
        }
    }

    /// How many of a kind there were.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.borrow().get(&kind).copied().unwrap_or(0)
    }

    /// The last ones, the newest first.
    #[must_use]
    pub fn report(&self) -> Vec<RefusalReport> {
        let now = clock::now();
        let report = |kept: &Kept| RefusalReport {
            side: kept.side.name().to_owned(),
            address: kept.address.clone(),
            node: kept.node.clone(),
            kind: kept.refusal.kind.name().to_owned(),
            detail: kept.refusal.text.clone(),
            times: kept.times,
            ago_s: now.saturating_duration_since(kept.last).as_secs_f64(),
        };
        self.kept.borrow().iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(kind: Kind, text: &str) -> Refusal {
        Refusal { kind, text: text.into() }
    }

    #[test]
    fn those_that_are_alike_are_one_with_their_number_and_the_newest_is_first() {
        let refusals = Refusals::default();
        refusals.note(Side::Accepted, "192.0.2.1:1000", None, refusal(Kind::Expired, "first"));
        refusals.note(Side::Dialled, "192.0.2.2:8446", Some("n2"), refusal(Kind::AnotherNode, "other"));
        refusals.note(Side::Accepted, "192.0.2.1:1001", None, refusal(Kind::Expired, "second"));
        refusals.note(Side::Accepted, "192.0.2.1:1002", None, refusal(Kind::NoName, "third"));
        let told = refusals.report();
        let told: Vec<_> = told.iter().map(|one| (one.kind.as_str(), one.detail.as_str(), one.times)).collect();
        assert_eq!(told, [("no_corecast_name", "third", 1), ("expired", "second", 2), ("another_node", "other", 1)]);
        assert_eq!((refusals.count(Kind::Expired), refusals.count(Kind::WrongUse)), (2, 0));
    }

    #[test]
    fn a_stranger_that_comes_from_everywhere_fills_neither_memory_nor_the_log() {
        let refusals = Refusals::default();
        for number in 0..10_000_u32 {
            let address = std::net::SocketAddr::from((number.to_be_bytes(), 1));
            refusals.note(Side::Accepted, &address.to_string(), None, refusal(Kind::NoCertificate, ""));
        }
        assert_eq!(refusals.report().len(), limits::CHANNEL_REFUSALS_KEPT);
        assert_eq!(refusals.count(Kind::NoCertificate), 10_000);
        assert!(refusals.not_logged.get() >= 10_000 - 2 * u64::from(limits::CHANNEL_REFUSALS_LOGGED_AT_ONCE));
    }

    #[test]
    fn each_kind_is_found_by_its_name_and_what_tls_says_of_it_means_it_or_its_like() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            let told = Kind::told_by(kind.error().into()).map(|(kind, _)| kind);
            let expected = match kind {
                Kind::NotYetValid => Kind::Expired,
                Kind::AnotherRegion | Kind::AnotherNode | Kind::NotInTheCluster => Kind::AnotherCluster,
                // As a name that is none.
                Kind::BadCertificate | Kind::NoCertificate => Kind::NoName,
                kind => kind,
            };
            assert_eq!(told, Some(expected), "{kind}");
        }
        assert_eq!(Kind::told_by(AlertDescription::HandshakeFailure), None);
        assert_eq!(Kind::named("else"), None);
    }
}
