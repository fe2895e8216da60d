//! Puts commit and cargo features into the binary (`corecast --version`). The commit falls back to `unknown` outside a git checkout: a source
//! archive must build too.

use std::process::Command;

fn main() {
    // The reflog changes with every commit and every checkout; both paths may be absent.
    for path in ["build.rs", ".git/HEAD", ".git/logs/HEAD"] {
        if std::path::Path::new(path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    let commit = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=CORECAST_COMMIT={commit}");
    let features: Vec<&str> = [
        ("CARGO_FEATURE_BENCH", "bench"),
        ("CARGO_FEATURE_PEER", "peer"),
        ("CARGO_FEATURE_SRTP_RING", "srtp-ring"),
        ("CARGO_FEATURE_SRTP_AES_GCM", "srtp-aes-gcm"),
    ]
    .into_iter()
    .filter_map(|(variable, name)| std::env::var_os(variable).map(|_| name))
    .collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(",") };
    println!("cargo:rustc-env=CORECAST_FEATURES={features}");
}
