//! The load tester: thousands of honest WebRTC publishers and viewers from few cores, against any WHIP/WHEP server.
//!
//! Not here yet: this program only says so. It exits with 2 whatever it is asked to test, so that no script takes it for a
//! load test that passed. It comes with its own issue, on the client side of the protocol in `corecast`.

use std::process::ExitCode;

use clap::Parser;

/// What `--help` says of the program's state and plan.
const PLAN: &str = "\
THIS PROGRAM DOES NOTHING YET. It comes with the next issue; until then every call but --help
and --version ends with exit code 2.

What is planned:
  - publish streams by WHIP from recorded traces (frame sizes and times of real encoders)
  - watch them by WHEP from thousands of viewers: full ICE, DTLS and SRTP, every packet opened and checked
  - join by a chosen curve (all at once, so many a second), stay, leave, come back
  - lose, delay and reorder packets on the way, and ask for what is missing as a browser does
  - report joins, time to first packet, loss, recovery, delay and CPU, as text and as JSON
  - run against any WHIP/WHEP server, not only Corecast

Until then: cargo bench measures the node from inside; tests/run tests it with browsers and other WebRTC stacks.";

/// Load tester for any WHIP/WHEP server (not written yet: does nothing)
#[derive(Debug, Parser)]
#[command(name = "corecast-loadtest", version, after_help = PLAN, max_term_width = 120)]
struct Cli {
    /// Whatever is asked: refused
    #[arg(value_name = "ANYTHING", trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let Cli { arguments: _ } = Cli::parse();
    eprintln!("corecast-loadtest: error: not written yet, nothing was tested (see --help)");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn whatever_is_asked_is_understood_so_that_the_answer_is_the_same() {
        Cli::command().debug_assert();
        for arguments in [&["x"][..], &["x", "--viewers", "1000", "https://example.org/whep/a"]] {
            Cli::try_parse_from(arguments).unwrap();
        }
    }

    #[test]
    fn the_help_says_first_that_it_does_nothing() {
        let help = Cli::command().render_help().to_string();
        assert!(help.starts_with("Load tester for any WHIP/WHEP server (not written yet: does nothing)"), "{help}");
        assert!(help.contains("exit code 2"), "{help}");
    }
}
