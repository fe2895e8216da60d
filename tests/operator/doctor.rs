//! `corecast doctor` on the host that runs the tests: what it prints, its exit code, and that a node beside it goes on.

use std::io::{BufRead as _, BufReader};
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};

use crate::BINARY;

fn doctor(state: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .arg("doctor")
        .args(["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0"])
        .args(arguments)
        .env("STATE_DIRECTORY", state)
        .output()
        .unwrap()
}

#[test]
fn every_subject_is_looked_at_and_text_to_a_pipe_has_no_colour() {
    let state = tempfile::tempdir().unwrap();
    let port = crate::ports::free();
    let output = doctor(state.path(), &["--media-port-base", &port.to_string()]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "Kernel\n",
        "io_uring",
        "Processor\n",
        "Network\n",
        " MTU ",
        "UDP receive drops",
        "Ports\n",
        &format!("UDP {port}"),
        "planned memory",
        "Authorisation\n",
        "anyone on this host",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(text.contains("self-signed, to be made at the first start"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0, "it made something");
}

#[test]
fn a_port_held_by_another_program_is_an_error_in_json_and_in_the_exit_code() {
    let state = tempfile::tempdir().unwrap();
    let held = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let output = doctor(state.path(), &["--json", "--media-port-base", &port.to_string()]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let sections = report["sections"].as_array().unwrap();
    let findings = || sections.iter().flat_map(|section| section["findings"].as_array().unwrap());
    let what = format!("UDP {port} to {port}");
    let finding = findings().find(|finding| finding["what"] == what.as_str()).unwrap();
    assert_eq!(finding["level"], "error", "{finding}");
    assert!(finding["found"].as_str().unwrap().contains(&format!("process {}", std::process::id())), "{finding}");
    assert_eq!(report["errors"], findings().filter(|finding| finding["level"] == "error").count());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_node_that_serves_is_recognised_and_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let port = crate::ports::free();
    let mut node = Command::new(BINARY)
        .args(["--https", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--cores", "0", "--media-port-base"])
        .arg(port.to_string())
        .env("STATE_DIRECTORY", state.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The first line comes when everything listens. The pipe is kept: who prints into a closed one ends.
    let mut line = String::new();
    let mut lines = BufReader::new(node.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let text = String::from_utf8(doctor(state.path(), &["--media-port-base", &port.to_string()]).stdout).unwrap();
    let alive = node.try_wait().unwrap().is_none();
    node.kill().unwrap();
    node.wait().unwrap();
    // Only root may see whose socket it is: the node cannot be looked into.
    let found = ["held by a running node (process", "held by a process this user may not look at"];
    let held = text.lines().find(|line| line.contains(&format!("UDP {port} to {port}"))).unwrap();
    assert!(found.iter().any(|found| held.contains(found)) && !held.contains("error"), "{text}");
    assert!(alive && line.starts_with("Corecast serves "), "{line}");
}
