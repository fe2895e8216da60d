//! `corecast doctor` on the host that runs the tests: what it prints, its exit code, and that a node beside it goes on.

use std::net::UdpSocket;
use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_corecast");

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
    let output = doctor(state.path(), &["--media-port-base", "27150"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in
        ["Kernel\n", "io_uring", "Processor\n", "Network\n", " MTU ", "UDP receive drops", "Ports\n", "UDP 27150"]
    {
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
