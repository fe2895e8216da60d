//! `corecast doctor`: which settings of this host cost viewers, packets or latency. Each line has its fix.
//!
//! It reads, and changes nothing. It takes nothing that a running node may want: it reads from the kernel's tables
//! whether a port is free, and does not try it. So it may run beside a serving node at any time. It takes the flags and
//! the file of `serve`, because the right settings depend on cores and ports.
//!
//! | File | Looks at |
//! |---|---|
//! | `kernel` | version, io_uring, limits of the process, clock |
//! | `processor` | cores, isolation, siblings, governor, interrupts on the workers' cores |
//! | `network` | interfaces with offloads, MTU, rings and queues; socket buffers; kernel counters |
//! | `ports` | ports: free or held by whom, the ephemeral range |
//! | [`memory`] | what the limits may come to need, against what there is |
//! | `authorisation` | who may publish and watch; whether the secret, the key set and the webhook can be used |
//! | `certificate` | from when to when the HTTPS certificate is valid |
//!
//! Left out: everything that needs measuring (`benches/` does that), and the network beyond this host (firewalls, NAT,
//! the path's MTU): `corecast doctor --from URL` looks at that from a viewer's side, in the laboratory (`lab::reach`). An exception is the URL of a key set or of the operator's webhook, which is tried. `tuning/`
//! changes settings.

mod authorisation;
mod certificate;
pub mod finding;
mod kernel;
pub mod memory;
mod network;
mod ports;
mod processor;
mod system;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use crate::config::Config;
use crate::net::host::KernelUdpCounters;
use finding::{FindingSection, Report};
use system::System;

/// Examines this host and prints the report. The exit code is 1 if there were errors, else 0.
pub fn run(config: &Config, json: bool) -> ExitCode {
    print(&examine(config), json)
}

/// Prints a report. The exit code is 1 if there were errors, else 0.
pub fn print(report: &Report, json: bool) -> ExitCode {
    let mut stdout = std::io::stdout();
    let text = if json {
        report.to_json() + "\n"
    } else {
        // https://no-color.org: any value except an empty one turns colour off.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        report.to_text(!refused && stdout.is_terminal())
    };
    // A reader that closes the pipe early (`| head`) is no reason to fail.
    let _ = stdout.write_all(text.as_bytes());
    ExitCode::from(u8::from(report.errors > 0))
}

/// Examines this host.
#[must_use]
pub fn examine(config: &Config) -> Report {
    let system = System::default();
    let mut net = network::sockets(&system, config.cores.len());
    net.extend(network::interfaces(&system, config));
    net.extend(KernelUdpCounters::read().map(|counters| network::counters(&counters)).unwrap_or_default());
    Report::new(vec![
        FindingSection { subject: "Kernel", findings: kernel::examine(&system) },
        FindingSection { subject: "Processor", findings: processor::examine(&system, &config.cores) },
        FindingSection { subject: "Network", findings: net },
        FindingSection { subject: "Ports", findings: ports::examine(&system, config) },
        FindingSection { subject: "Memory", findings: memory::examine(&system, config) },
        FindingSection { subject: "Authorisation", findings: authorisation::examine(config) },
        FindingSection { subject: "Certificate", findings: certificate::examine(config, SystemTime::now()) },
    ])
}
