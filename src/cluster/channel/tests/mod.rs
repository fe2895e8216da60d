//! Two or three nodes' channels on loopback, on the real executor.

pub(crate) mod authority;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use hyper::{Request, Response, StatusCode};
use rcgen::ExtendedKeyUsagePurpose;

use self::authority::{Authority, Certificate, Issued, write};
use super::directory::{Directory, Listed};
use super::identity::{Identities, IdentityError};
use super::name::NodeName;
use super::refusal::Kind;
use super::{ChannelError, Channels, Peer, Service};
use crate::config::host_port::HostPort;
use crate::limits;
use crate::signal::runtime::{self, Bound};

/// The directory of a test.
#[derive(Default)]
struct Book(RefCell<HashMap<String, Listed>>);

impl Directory for Book {
    fn listed(&self, node: &str) -> Option<Listed> {
        self.0.borrow().get(node).cloned()
    }

    fn is_known(&self) -> bool {
        true
    }
}

impl Book {
    fn put(&self, node: &str, region: &str, address: &str) {
        let channel = Some(address.to_owned());
        let listed = Listed { boot: "b".into(), region: region.into(), channel };
        self.0.borrow_mut().insert(node.to_owned(), listed);
    }
}

/// Says who asks, and by which connection.
struct Echo;

impl Service for Echo {
    fn answer(self: Rc<Self>, from: Peer, request: Request<Bytes>) -> LocalBoxFuture<'static, Response<Bytes>> {
        async move {
            if request.uri().path() == "/echo/slow" {
                runtime::sleep(Duration::from_secs(60)).await;
            }
            let mut answer = format!("{}/{} {} ", from.region, from.node, request.uri()).into_bytes();
            answer.extend_from_slice(from.secret.bytes());
            answer.extend_from_slice(request.body());
            Response::new(answer.into())
        }
        .boxed_local()
    }
}

fn name(node: &str) -> NodeName {
    NodeName { cluster: "c".into(), region: "r".into(), node: node.into() }
}

fn uri(node: &str) -> String {
    name(node).to_string()
}

/// A node with that name, of `c` and `r`; its certificate may say anything that the start lets pass.
fn node(directory: &Path, book: &Rc<Book>, named: &str, authorities: &[&Authority], issued: &Issued) -> Channels {
    let identities = Identities::read(write(directory, named, authorities, issued), name(named)).unwrap();
    start(book, named, identities)
}

fn start(book: &Rc<Book>, named: &str, identities: Identities) -> Channels {
    let bound = Bound::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = HostPort::from(bound.local_addr().unwrap());
    book.put(named, "r", &address.to_string());
    let channels = Channels::start(bound, address, identities, book.clone());
    channels.attach("/echo", Rc::new(Echo));
    channels
}

/// A node whose certificate says what the start would not let pass.
fn stranger(
    directory: &Path,
    book: &Rc<Book>,
    named: &str,
    truly: &NodeName,
    authority: &Authority,
    trusts: &Authority,
) -> Channels {
    let files = write(directory, &format!("{named}-stranger"), &[trusts], &authority.issue_to(&truly.to_string()));
    start(book, named, Identities::read(files, truly.clone()).unwrap())
}

fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

/// The kinds of what a node has refused, or was refused for, with who did it.
fn refusals(of: &Channels) -> Vec<(String, String)> {
    of.refused().into_iter().map(|one| (one.side, one.kind)).collect()
}

fn pair(side: &str, kind: Kind) -> (String, String) {
    (side.to_owned(), kind.name().to_owned())
}

/// Waits for what the other end takes note of by itself.
async fn until(holds: impl Fn() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        runtime::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within five seconds");
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(std::path::PathBuf) -> F) {
    let directory = tempfile::tempdir().unwrap();
    runtime::run(|| test(directory.path().to_owned())).unwrap();
}

#[test]
fn nodes_ask_each_other_over_one_connection_each_whose_secret_both_know() {
    run(|directory| async move {
        let (authority, book) = (Authority::new("a"), Rc::new(Book::default()));
        let all = ["n1", "n2", "n3"]
            .map(|named| node(&directory, &book, named, &[&authority], &authority.issue_to(&uri(named))));
        let body = Bytes::from(vec![7; limits::CHANNEL_BODY_BYTES_MAX - 1_000]);
        let ask = |from: &Channels, to: &'static str| {
            let request = Request::post("/echo/x?y=z").body(body.clone()).unwrap();
            let asking = from.dialler.clone();
            async move { asking.ask(to, request, Duration::from_secs(10)).await.unwrap() }
        };
        let answers = futures_util::future::join_all((0..20).map(|_| ask(&all[0], "n2"))).await;
        let secret = *answers[0].secret.bytes();
        for answer in &answers {
            let expected = [b"r/n1 https://node/echo/x?y=z ".as_slice(), &secret, &body].concat();
            assert!(answer.response.body() == &expected && *answer.secret.bytes() == secret);
        }
        assert_eq!((all[0].dialler.count(), all[1].door.connections.count()), (1, 1));
        let back = ask(&all[1], "n1").await;
        let other = ask(&all[0], "n3").await;
        assert!(*back.secret.bytes() != secret && *other.secret.bytes() != secret);
        assert_eq!(format!("{:?}", back.secret), "LinkSecret");

        let hello = all[2].ask("n1", get("/hello")).await.unwrap().response;
        let hello: serde_json::Value = serde_json::from_slice(hello.body()).unwrap();
        assert_eq!(hello, serde_json::json!({"node": "n1", "region": "r", "version": env!("CARGO_PKG_VERSION")}));
        let nothing = all[2].ask("n1", get("/else")).await.unwrap().response;
        assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
        assert!(all.iter().all(|node| refusals(node).is_empty()));
    });
}

#[test]
fn what_is_too_long_or_too_slow_is_an_error_and_ends_nothing_else() {
    run(|directory| async move {
        let (authority, book) = (Authority::new("a"), Rc::new(Book::default()));
        let [one, two] =
            ["n1", "n2"].map(|named| node(&directory, &book, named, &[&authority], &authority.issue_to(&uri(named))));
        let body = Bytes::from(vec![7; limits::CHANNEL_BODY_BYTES_MAX + 1]);
        let answer = one.ask("n2", Request::post("/echo").body(body).unwrap()).await.unwrap();
        assert_eq!(answer.response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let slow = one.ask_within(Duration::from_millis(100), "n2", get("/echo/slow")).await;
        assert_eq!(slow.err(), Some(ChannelError::NoAnswer));
        // An answer that is too long: what was sent, and what the service adds to it.
        let body = Bytes::from(vec![7; limits::CHANNEL_BODY_BYTES_MAX]);
        let long = one.ask("n2", Request::post("/echo").body(body).unwrap()).await;
        assert!(matches!(long, Err(ChannelError::Unread(_))), "{long:?}");
        assert!(one.ask("n2", get("/echo")).await.is_ok());
        assert_eq!(two.door.connections.count(), 1);

        assert_eq!(one.ask("n9", get("/echo")).await.err(), Some(ChannelError::UnknownNode));
        book.0.borrow_mut().insert("n8".into(), Listed { boot: "b".into(), region: "r".into(), channel: None });
        assert_eq!(one.ask("n8", get("/echo")).await.err(), Some(ChannelError::NoChannel));
        book.put("n7", "r", "127.0.0.1:1");
        assert!(matches!(one.ask("n7", get("/echo")).await, Err(ChannelError::Unreachable(_))));
        book.put("n6", "r", "nonsense");
        assert!(matches!(one.ask("n6", get("/echo")).await, Err(ChannelError::Unreachable(_))));
    });
}

#[test]
fn a_node_that_is_gone_is_dialled_anew_when_it_is_back() {
    run(|directory| async move {
        let (authority, book) = (Authority::new("a"), Rc::new(Book::default()));
        let [one, two] =
            ["n1", "n2"].map(|named| node(&directory, &book, named, &[&authority], &authority.issue_to(&uri(named))));
        let first = one.ask("n2", get("/echo")).await.unwrap();
        drop(two);
        until(|| one.dialler.count() == 0).await;
        let away = one.ask("n2", get("/echo")).await;
        assert!(matches!(away, Err(ChannelError::Unreachable(_) | ChannelError::Lost)), "{away:?}");
        let _two = node(&directory, &book, "n2", &[&authority], &authority.issue_to(&uri("n2")));
        let second = one.ask("n2", get("/echo")).await.unwrap();
        assert_ne!(first.secret.bytes(), second.secret.bytes());
    });
}

/// One node asks another, which is a stranger or whose certificate is none: refused by the one that dials.
async fn dialled(directory: &Path, other: impl FnOnce(&Rc<Book>, &Authority) -> Channels, kind: Kind, said: &[&str]) {
    let (authority, book) = (Authority::new("a"), Rc::new(Book::default()));
    let one = node(directory, &book, "n1", &[&authority], &authority.issue_to(&uri("n1")));
    let other = other(&book, &authority);
    let refused = one.ask("n2", get("/echo")).await;
    let Err(ChannelError::Refused(refusal)) = refused else { panic!("{kind}: {refused:?}") };
    assert_eq!(refusal.kind, kind, "{refusal}");
    for said in said {
        assert!(refusal.text.contains(said), "{said} is not in: {refusal}");
    }
    assert_eq!(refusals(&one), [pair("dialled", kind)]);
    assert!(one.refused()[0].node.as_deref() == Some("n2") && one.refused()[0].times == 1);
    // And the other end is told.
    until(|| other.refused().first().is_some_and(|one| one.side == "told")).await;
}

#[test]
fn a_node_that_is_dialled_and_is_not_the_one_that_was_meant_is_refused_and_told_so() {
    run(|directory| async move {
        let directory = &*directory;
        let foreign = &Authority::new("foreign");
        let issue = |what: Certificate| {
            move |book: &Rc<Book>, authority: &Authority| {
                node(directory, book, "n2", &[authority], &authority.issue(&what))
            }
        };
        let named = |names: &[&str]| Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Certificate::default()
        };
        let of_another = |book: &Rc<Book>, authority: &Authority| {
            node(directory, book, "n2", &[authority], &foreign.issue_to(&uri("n2")))
        };
        dialled(directory, of_another, Kind::OtherAuthority, &[&uri("n2"), "CN=foreign", "cluster.ca"]).await;
        let same_name = Authority::new("a");
        let of_namesake = |book: &Rc<Book>, authority: &Authority| {
            node(directory, book, "n2", &[authority], &same_name.issue_to(&uri("n2")))
        };
        dialled(directory, of_namesake, Kind::OtherAuthority, &[&uri("n2")]).await;
        let expired = Certificate { years: (2001, 2002), ..named(&[&uri("n2")]) };
        dialled(directory, issue(expired), Kind::Expired, &[&uri("n2"), "2002"]).await;
        let early = Certificate { years: (2090, 2091), ..named(&[&uri("n2")]) };
        dialled(directory, issue(early), Kind::NotYetValid, &["2090"]).await;
        let wrong_use = Certificate { uses: vec![ExtendedKeyUsagePurpose::ClientAuth], ..named(&[&uri("n2")]) };
        dialled(directory, issue(wrong_use), Kind::WrongUse, &["serverAuth"]).await;
        let as_another = |truly: NodeName| {
            move |book: &Rc<Book>, authority: &Authority| stranger(directory, book, "n2", &truly, authority, authority)
        };
        let said = [uri("n3"), uri("n2")];
        dialled(directory, as_another(name("n3")), Kind::AnotherNode, &[&said[0], &said[1]]).await;
        let elsewhere = NodeName { cluster: "d".into(), ..name("n2") };
        dialled(directory, as_another(elsewhere), Kind::AnotherCluster, &["corecast://d/r/n2", &uri("n2")]).await;
        let far = NodeName { region: "s".into(), ..name("n2") };
        dialled(directory, as_another(far), Kind::AnotherRegion, &["corecast://c/s/n2", &uri("n2")]).await;
    });
}

/// A stranger asks a node: refused by the one that is dialled.
async fn accepted(
    directory: &Path,
    other: impl FnOnce(&Rc<Book>, &Authority) -> Channels,
    kind: Kind,
    heard: Kind,
    said: &[&str],
) {
    let (authority, book) = (Authority::new("a"), Rc::new(Book::default()));
    let one = node(directory, &book, "n1", &[&authority], &authority.issue_to(&uri("n1")));
    let other = other(&book, &authority);
    let refused = other.ask("n1", get("/echo")).await;
    let Err(ChannelError::RefusedThere(refusal)) = refused else { panic!("{kind}: {refused:?}") };
    assert_eq!(refusal.kind, heard, "{refusal}");
    assert_eq!((refusals(&one), refusals(&other)), (vec![pair("accepted", kind)], vec![pair("told", heard)]));
    for said in said {
        assert!(one.refused()[0].detail.contains(said), "{said} is not in: {:?}", one.refused());
    }
    assert_eq!(one.report().refused.get(kind.name()), Some(&1));
    assert_eq!(one.door.connections.count(), 0);
}

#[test]
fn a_node_that_dials_and_is_no_member_is_refused_and_told_so() {
    run(|directory| async move {
        let directory = &*directory;
        let foreign = &Authority::new("foreign");
        let issue = |what: Certificate| {
            move |book: &Rc<Book>, authority: &Authority| {
                node(directory, book, "n2", &[authority], &authority.issue(&what))
            }
        };
        let named = |name: String| Certificate { names: vec![name], ..Certificate::default() };
        let of_another = |book: &Rc<Book>, authority: &Authority| {
            node(directory, book, "n2", &[authority], &foreign.issue_to(&uri("n2")))
        };
        let kind = Kind::OtherAuthority;
        accepted(directory, of_another, kind, kind, &[&uri("n2"), "CN=foreign"]).await;
        let expired = Certificate { years: (2001, 2002), ..named(uri("n2")) };
        accepted(directory, issue(expired), Kind::Expired, Kind::Expired, &["2002"]).await;
        let early = Certificate { years: (2090, 2091), ..named(uri("n2")) };
        accepted(directory, issue(early), Kind::NotYetValid, Kind::Expired, &["2090"]).await;
        let wrong_use = Certificate { uses: vec![ExtendedKeyUsagePurpose::ServerAuth], ..named(uri("n2")) };
        accepted(directory, issue(wrong_use), Kind::WrongUse, Kind::WrongUse, &["clientAuth"]).await;
        // It believes that it is of another cluster, and finds the one that it dials to be of none of its own.
        let removed = |book: &Rc<Book>, authority: &Authority| {
            let other = node(directory, book, "n2", &[authority], &authority.issue_to(&uri("n2")));
            let _ = book.0.borrow_mut().remove("n2");
            other
        };
        let kind = Kind::NotInTheCluster;
        accepted(directory, removed, kind, kind, &[&uri("n2"), "has no node n2"]).await;
        let moved = |book: &Rc<Book>, authority: &Authority| {
            let other = node(directory, book, "n2", &[authority], &authority.issue_to(&uri("n2")));
            book.put("n2", "elsewhere", "127.0.0.1:1");
            other
        };
        let kind = Kind::AnotherRegion;
        accepted(directory, moved, kind, kind, &[&uri("n2"), "region elsewhere"]).await;
    });
}

#[test]
fn a_node_that_joins_a_moment_later_is_waited_for() {
    run(|directory| async move {
        let (authority, book) = (Authority::new("a"), Rc::new(Book::default()));
        let [one, two] =
            ["n1", "n2"].map(|named| node(&directory, &book, named, &[&authority], &authority.issue_to(&uri(named))));
        let listed = book.0.borrow_mut().remove("n2").unwrap();
        let joins = runtime::spawn({
            let book = book.clone();
            async move {
                runtime::sleep(limits::CHANNEL_JOINED_WAIT_MAX / 4).await;
                book.0.borrow_mut().insert("n2".into(), listed);
            }
        });
        assert!(two.ask("n1", get("/echo")).await.is_ok());
        assert!(refusals(&one).is_empty() && refusals(&two).is_empty());
        drop(joins);
    });
}

#[test]
fn certificates_that_are_replaced_are_used_for_the_next_connection_and_bad_ones_never() {
    run(|directory| async move {
        let (old, new, book) = (Authority::new("old"), Authority::new("new"), Rc::new(Book::default()));
        let one = node(&directory, &book, "n1", &[&old, &new], &old.issue_to(&uri("n1")));
        let two = node(&directory, &book, "n2", &[&old, &new], &old.issue_to(&uri("n2")));
        let before = one.ask("n2", get("/echo")).await.unwrap();
        // What names another node is not taken.
        let present = |node: &Channels| node.dialler.identities.now();
        let first = present(&two);
        write(&directory, "n2", &[&old, &new], &new.issue_to(&uri("n3")));
        runtime::sleep(3 * limits::CERTIFICATE_LOOK_INTERVAL).await;
        assert!(std::sync::Arc::ptr_eq(&first, &present(&two)));
        // A certificate of the second authority, in which this node has not lost its connection.
        write(&directory, "n2", &[&new], &new.issue_to(&uri("n2")));
        until(|| !std::sync::Arc::ptr_eq(&first, &present(&two))).await;
        let kept = one.ask("n2", get("/echo")).await.unwrap();
        assert_eq!(kept.secret.bytes(), before.secret.bytes());
        // The first authority is not believed there any more.
        book.put("n2", "r", &two.address.to_string());
        book.0.borrow_mut().get_mut("n2").unwrap().boot = "another".into();
        let refused = one.ask("n2", get("/echo")).await;
        assert!(
            matches!(&refused, Err(ChannelError::RefusedThere(one)) if one.kind == Kind::OtherAuthority),
            "{refused:?}"
        );
        let first = present(&one);
        write(&directory, "n1", &[&new], &new.issue_to(&uri("n1")));
        until(|| !std::sync::Arc::ptr_eq(&first, &present(&one))).await;
        let after = one.ask("n2", get("/echo")).await.unwrap();
        assert_ne!(after.secret.bytes(), before.secret.bytes());
    });
}

#[test]
fn a_start_with_wrong_files_says_which_and_what_they_should_be() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("a");
    let read = |authorities: &[&Authority], issued: &Issued| {
        let files = write(directory.path(), "n1", authorities, issued);
        Identities::read(files, name("n1")).map(drop)
    };
    assert_eq!(read(&[&authority], &authority.issue_to(&uri("n1"))), Ok(()));
    let cases: [(Certificate, &str); 3] = [
        (
            Certificate { names: vec![uri("n2")], ..Certificate::default() },
            "it names corecast://c/r/n2; this node is corecast://c/r/n1",
        ),
        (Certificate::default(), "names no node"),
        (Certificate { names: vec![uri("n1"), uri("n2")], ..Certificate::default() }, "names several nodes"),
    ];
    for (what, said) in cases {
        let Err(IdentityError { setting, file, why }) = read(&[&authority], &authority.issue(&what)) else { panic!() };
        assert!(setting == "cluster.cert" && file.ends_with("n1-cert.pem"), "{setting} {}", file.display());
        assert!(why.contains(said) && why.contains("URI:corecast://c/r/n1"), "{why}");
    }
    assert_eq!(read(&[], &authority.issue_to(&uri("n1"))).err().map(|error| error.setting), Some("cluster.ca"));
    let files = write(directory.path(), "n1", &[&authority], &authority.issue_to(&uri("n1")));
    let other = write(directory.path(), "n2", &[&authority], &authority.issue_to(&uri("n1")));
    std::fs::copy(&other.key, &files.key).unwrap();
    let error = Identities::read(files.clone(), name("n1")).unwrap_err();
    assert!(error.setting == "cluster.key" && error.why.contains("does not belong"), "{error:?}");
    std::fs::remove_file(&files.key).unwrap();
    let error = Identities::read(files, name("n1")).unwrap_err();
    assert!(error.setting == "cluster.key" && error.why.contains("cannot be read"), "{error:?}");
}
