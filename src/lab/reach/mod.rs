//! `corecast doctor --from URL`: which ways lead from this host to a node, as one of its viewers would see it. Each way is tried
//! alone, as a session of its own that is ended before the next: UDP over IPv4 and IPv6, TCP, and TURN over TCP and TLS.
//!
//! It does no more than a viewer does, and the node's tokens and limits hold for it. The page `/check` does the same in a
//! browser.
//!
//! | File | Holds |
//! |---|---|
//! | `node` | the node's HTTP: one session with its candidates and TURN servers |
//! | `carrier` | what carries datagrams: a UDP socket, frames on TCP, a TURN channel, TLS |
//! | `attempt` | one way: ICE, DTLS, and media where there is some |

mod attempt;
mod carrier;
mod node;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use self::attempt::Attempt;
use self::node::{Node, Session};
use crate::doctor;
use crate::doctor::finding::{Finding, FindingSection, Report};

/// What to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The node, like `https://node.example`.
    pub url: String,
    /// The stream that is played. It need not be published.
    pub stream: String,
    /// A file with a token that allows to play it.
    pub token_file: Option<PathBuf>,
    /// A PEM file of the certificates to believe the node by, in place of the system's.
    pub ca: Option<PathBuf>,
}

/// A way to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Udp4,
    Udp6,
    Tcp,
    TurnTcp,
    TurnTls,
}

impl Way {
    /// In the order in which a browser prefers them.
    const ALL: [Self; 5] = [Self::Udp4, Self::Udp6, Self::Tcp, Self::TurnTcp, Self::TurnTls];

    const fn name(self) -> &'static str {
        match self {
            Self::Udp4 => "UDP over IPv4",
            Self::Udp6 => "UDP over IPv6",
            Self::Tcp => "TCP",
            Self::TurnTcp => "TURN over TCP",
            Self::TurnTls => "TURN over TLS",
        }
    }

    /// Why the node does not offer it.
    const fn lacks(self) -> &'static str {
        match self {
            Self::Udp4 => "not offered: the node announces no IPv4 address",
            Self::Udp6 => "not offered: the node announces no IPv6 address",
            Self::Tcp => "not offered: the node takes media over UDP only",
            Self::TurnTcp => "not offered: the node names no TURN server",
            Self::TurnTls => {
                "not offered: the node's certificate has no name that this URL has, or its TURN server is off"
            }
        }
    }

    const fn fix(self) -> &'static str {
        match self {
            Self::Udp4 | Self::Udp6 => {
                "open the node's UDP ports in the firewalls between; viewers use the ways below till then"
            }
            Self::Tcp => "open the port of HTTPS for any TCP, or leave it: TURN over TLS looks like HTTPS",
            Self::TurnTcp | Self::TurnTls => "look at what in between ends connections to the port of HTTPS",
        }
    }
}

/// Tries every way and prints what came of it. The exit code is 0 if one works, 1 if none does, and 2 if a flag is wrong.
#[must_use]
pub fn run(target: &Target, json: bool) -> ExitCode {
    match examine(target) {
        Ok(report) => doctor::print(&report, json),
        Err(error) => {
            eprintln!("corecast: error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Tries every way.
///
/// # Errors
/// What is wrong with a flag, with the fix.
pub fn examine(target: &Target) -> Result<Report, String> {
    let node = Node::new(target)?;
    let mut findings = Vec::new();
    let mut works = false;
    for way in Way::ALL {
        let session = match node.open() {
            Ok(session) => session,
            Err(refused) => {
                // The others would be refused in the same way.
                findings.push(Finding::error("session", refused.found, refused.fix));
                break;
            }
        };
        if findings.is_empty() {
            findings.push(Finding::ok("HTTPS", format!("offer answered after {}", ms(session.answered_after))));
        }
        let finding = tried(way, &node, &session);
        node.end(&session);
        works |= finding.1;
        findings.push(finding.0);
    }
    if !works && findings.iter().all(|finding| finding.what != "session") {
        let fix = "nothing but HTTPS comes through: ask who runs this network, and give them this report";
        findings.push(Finding::error("media", "no way leads to the node from here", fix));
    }
    let subject = "Ways to the node, times from the beginning of each attempt";
    Ok(Report::new(vec![FindingSection { subject, findings }]))
}

/// One way, and whether it works.
fn tried(way: Way, node: &Node, session: &Session) -> (Finding, bool) {
    match attempt::attempt(way, node, session) {
        None => (Finding::ok(way.name(), way.lacks()), false),
        Some(Err(error)) => (Finding::warning(way.name(), error, way.fix()), false),
        Some(Ok(Attempt { first_packet, connected, media, at })) => {
            let media = media
                .map_or_else(|| "no media (nobody publishes)".to_owned(), |media| format!("first media {}", ms(media)));
            let found = format!("first packet {}, connected {}, {media}, at {at}", ms(first_packet), ms(connected));
            (Finding::ok(way.name(), found), true)
        }
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
