//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use corecast::lab::link::script::{self, Script};
use corecast::lab::peer::data;
use url::Url;

use crate::ways::Way;

const MESSAGE_BYTES_MIN: i64 = data::MESSAGE_BYTES_MIN as i64;

const AFTER_HELP: &str = "\
Exit codes: 0 the check passed; 1 it failed (a viewer was not connected, packets were lost or not authentic, beyond
the stated lines); 2 bad usage, or nothing could be tested. Ctrl-C ends early, with the report of what was measured.

One-way latency needs publisher and viewers in one process or on one host: the clock is the machine's own.";

/// Load tester for any WHIP/WHEP server
#[derive(Debug, Parser)]
#[command(name = "corecast-loadtest", version, after_help = AFTER_HELP, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch a stream that somebody publishes
    Watch {
        #[command(flatten)]
        watch: Watch,
        #[command(flatten)]
        common: Common,
    },
    /// Publish streams and nothing else
    Publish {
        #[command(flatten)]
        publish: Publish,
        /// How long to publish
        #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
        seconds: Duration,
        #[command(flatten)]
        common: Common,
    },
    /// Stand between clients and a server as a link: forward UDP with a rate, a queue, delay, jitter and loss. Let the server
    /// tell clients this address in place of its own (Corecast: --media-ip IP:PORT)
    Link(LinkArgs),
    /// Publish streams and watch them
    Run {
        #[command(flatten)]
        publish: Publish,
        #[command(flatten)]
        watch: Watch,
        #[command(flatten)]
        common: Common,
    },
}

/// A link between foreign clients and a server.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct LinkArgs {
    /// Where clients send to
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// The server's media address
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) to: SocketAddr,
    /// A rate (2M: 25 ms each way, a queue of 300 ms), or the file of a script (docs: load testing)
    #[arg(long, value_parser = link, value_name = "RATE|FILE")]
    pub(crate) link: Arc<Script>,
    /// All clients share one link, instead of one each
    #[arg(long)]
    pub(crate) shared: bool,
    /// How long; until Ctrl-C unless said
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) seconds: Option<Duration>,
}

/// Viewers.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Watch {
    /// WHEP address; `{i}` stands for the stream's number, from 0. May be given more than once, for the nodes of a cluster:
    /// viewers are dealt to them in turn
    #[arg(long, value_name = "URL", required = true)]
    pub(crate) whep: Vec<String>,
    /// Viewers in all; with --find-knee, the most to try
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) viewers: u32,
    /// Streams that viewers are dealt to in turn, where the address holds `{i}`
    #[arg(long, default_value_t = 1, value_name = "N", id = "watched_streams")]
    pub(crate) watched_streams: u32,
    /// Viewers that begin per second
    #[arg(long, default_value = "50/s", value_parser = rate, value_name = "N/s")]
    pub(crate) ramp: f64,
    /// Publish only when all viewers are connected, so that each must get every packet: sent × viewers = received + lost.
    /// The server must take viewers of a stream that is not there yet
    #[arg(long)]
    pub(crate) viewers_first: bool,
    /// How long to go on after the last viewer's start
    #[arg(long = "seconds", default_value = "30", value_parser = seconds, value_name = "SECONDS", id = "watch_seconds")]
    pub(crate) seconds: Duration,
    /// The part of packets that are decrypted and authenticated; all others are counted by their headers
    #[arg(long, default_value_t = 0.01, value_parser = fraction, value_name = "0..1")]
    pub(crate) verify_fraction: f64,
    /// Negotiate data channels, and count messages: received, lost, late (older than 500 ms). With `run`, --data does it
    #[arg(long = "read-data", id = "read_data")]
    pub(crate) read: bool,
    /// So many of the viewers with data channels take and acknowledge nothing once a channel is open; their media goes on
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) data_stalled: u32,
    /// What viewers' media comes over. The TCP ways are those of a browser whose network drops UDP: ICE over TCP, and TURN
    /// at the server that the answer's Link header names (for ten minutes at most)
    #[arg(long, value_enum, default_value_t = Way::Udp, value_name = "WAY")]
    pub(crate) over: Way,
    /// Viewers live behind a link each: a rate (2M: 25 ms each way, a queue of 300 ms) or the script of one in a file. They
    /// watch their picture (--picture)
    #[arg(long, value_parser = link, value_name = "RATE|FILE")]
    pub(crate) link: Option<Arc<Script>>,
    /// Viewers open every packet and follow their picture: frames shown, freezes, encodings of a simulcast, time until it is
    /// live. Implied by --link and --simulcast
    #[arg(long)]
    pub(crate) picture: bool,
    /// The check fails when the 99th percentile of one-way video latency is above this many milliseconds; `none`: it is not
    /// checked. Where no send times come (pictures of another publisher) there is nothing to check
    #[arg(long, default_value = "1000", value_parser = latency, value_name = "MS")]
    pub(crate) max_latency: Latency,
    /// After --seconds, every viewer changes its keys once, spread evenly over so many seconds: a second connection is made, and
    /// the server ends the first one when it is told that the second plays. The check fails when a packet is lost between the two
    #[arg(long, value_parser = seconds, value_name = "SECONDS", conflicts_with_all = ["find_knee", "link", "viewers_first", "read_data"])]
    pub(crate) rekey: Option<Duration>,
    /// Raise the viewers in steps until loss, latency or the server's CPU crosses its line
    #[arg(long)]
    pub(crate) find_knee: bool,
    /// With --find-knee: viewers added per step; a tenth of --viewers unless said
    #[arg(long, value_name = "N", requires = "find_knee")]
    pub(crate) knee_step: Option<u32>,
    /// With --find-knee: how long each step is measured
    #[arg(long, default_value = "5", value_parser = seconds, value_name = "SECONDS", requires = "find_knee")]
    pub(crate) knee_seconds: Duration,
    /// With --find-knee: the line for the 99th percentile of one-way video latency
    #[arg(long, default_value_t = 100, value_name = "MS", requires = "find_knee")]
    pub(crate) knee_latency_ms: u64,
    /// With --find-knee and --server-pid: the line for the server's busiest thread, per cent of a core
    #[arg(long, default_value_t = 95.0, value_name = "PERCENT", requires = "find_knee")]
    pub(crate) knee_cpu_percent: f64,
}

impl Watch {
    /// Where a viewer watches: at the nodes in turn, and at each the streams in turn.
    pub(crate) fn address_of(&self, viewer: u32) -> Result<Url, String> {
        let nodes = u32::try_from(self.whep.len()).unwrap_or(u32::MAX).max(1);
        let template = self.whep.get((viewer % nodes) as usize).map_or("", String::as_str);
        let streams = if template.contains("{i}") { self.watched_streams.max(1) } else { 1 };
        address(template, viewer / nodes % streams)
    }
}

/// Publishers.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Publish {
    /// WHIP address; `{i}` stands for the stream's number, from 0
    #[arg(long, value_name = "URL")]
    pub(crate) whip: String,
    /// Streams to publish
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) streams: u32,
    /// Video bitrate of each, bits per second
    #[arg(long, default_value = "2.5M", value_parser = bitrate, value_name = "BITRATE")]
    pub(crate) bitrate: f64,
    /// Frames per second
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120), value_name = "N")]
    pub(crate) fps: u32,
    /// From one key frame to the next, unless one is asked for sooner
    #[arg(long, default_value = "2s", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) gop: Duration,
    /// Opus audio beside the video, 50 packets a second
    #[arg(long)]
    pub(crate) audio: bool,
    /// Messages a second on a data channel of each stream; 0 opens the channel and sends nothing. A Corecast relays 64 a
    /// second
    #[arg(long, value_parser = messages, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) data: Option<f64>,
    /// Bytes of each message
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(MESSAGE_BYTES_MIN..=16_384), value_name = "BYTES", requires = "data")]
    pub(crate) data_bytes: u32,
    /// The channel is unordered and repeats nothing, instead of ordered and reliable
    #[arg(long, requires = "data")]
    pub(crate) data_unreliable: bool,
    /// Simulcast (RFC 8853): three encodings of each stream, with the bitrate asked for and a quarter and a sixteenth of it
    #[arg(long, conflicts_with = "file")]
    pub(crate) simulcast: bool,
    /// Send these pictures instead of the model, over and over: Annex B H.264 (.h264, .264) or VP8 (.ivf)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub(crate) struct Common {
    /// Bearer token of every request
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Take any certificate of an HTTPS server
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Cores to pin a load thread of viewers to each, as in 1,3-5; half of the machine's, not pinned, unless said
    #[arg(long, value_parser = cores, value_name = "LIST")]
    pub(crate) cores: Option<Cores>,
    /// Write report.json and report.html into this directory
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) report: Option<PathBuf>,
    /// The server's process, where it runs on this host: its CPU time is reported
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<u32>,
    /// The check fails when more than this part of the packets is lost for good
    #[arg(long, default_value_t = 0.001, value_parser = fraction, value_name = "0..1")]
    pub(crate) max_loss: f64,
    /// Bytes of each client's kernel receive buffer
    #[arg(long, default_value_t = corecast::limits::FLEET_SOCKET_BUFFER_BYTES, value_name = "BYTES")]
    pub(crate) socket_buffer: usize,
}

/// A list of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<u16>);

fn cores(text: &str) -> Result<Cores, String> {
    corecast::config::parse_cores(text).map(Cores)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let seconds: f64 = number.parse().map_err(|_| "must be a number of seconds, as in 2 or 0.5s".to_owned())?;
    if (0.001..=1e6).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be between 0.001 and 1000000 seconds".to_owned())
    }
}

/// A latency that may not be exceeded, if one may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency(pub(crate) Option<Duration>);

fn latency(text: &str) -> Result<Latency, String> {
    if text == "none" {
        return Ok(Latency(None));
    }
    let ms = text.parse::<u64>().ok().filter(|ms| (1..=60_000).contains(ms));
    let ms = ms.ok_or_else(|| "must be a number of milliseconds from 1 to 60000, or none".to_owned())?;
    Ok(Latency(Some(Duration::from_millis(ms))))
}

/// A rate, or the file of a script.
pub(crate) fn link(text: &str) -> Result<Arc<Script>, String> {
    let rate = match script::rate(text) {
        Ok(rate) => return Ok(Arc::new(Script::of_rate(rate))),
        Err(rate) => rate,
    };
    let script = std::fs::read_to_string(text);
    let script = script.map_err(|error| format!("no file ({error}), and no rate: {rate}"))?;
    Script::parse(&script).map(Arc::new).map_err(|error| error.to_string())
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate: f64 = number.parse().map_err(|_| "must be a rate, as in 50/s".to_owned())?;
    if (0.01..=1e5).contains(&rate) { Ok(rate) } else { Err("must be between 0.01/s and 100000/s".to_owned()) }
}

fn messages(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "must be a number of messages a second, as in 10".to_owned())?;
    if (0.0..=1_000.0).contains(&rate) { Ok(rate) } else { Err("must be from 0 to 1000 messages a second".to_owned()) }
}

fn bitrate(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1e3),
        Some((at, 'M')) => (&text[..at], 1e6),
        _ => (text, 1.0),
    };
    let bitrate = number.parse::<f64>().map_err(|_| "must be a bitrate, as in 2.5M or 800k".to_owned())? * unit;
    if (50e3..=100e6).contains(&bitrate) { Ok(bitrate) } else { Err("must be between 50k and 100M".to_owned()) }
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "must be a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&fraction) { Ok(fraction) } else { Err("must be from 0 to 1".to_owned()) }
}

/// The address of stream `number`.
pub(crate) fn address(template: &str, number: u32) -> Result<Url, String> {
    let text = template.replace("{i}", &number.to_string());
    let url =
        Url::parse(&text).map_err(|error| format!("{text}: {error}; it looks like https://HOST:PORT/whep/NAME"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(format!("{text}: {other} is not http or https")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_understood() {
        Cli::command().debug_assert();
        for line in [
            "watch --whep http://h/whep/a --viewers 5000 --ramp 500/s --seconds 30 --read-data --data-stalled 1",
            "run --whip http://h/a --whep http://h/b --data 10 --data-bytes 1000 --data-unreliable",
            "publish --whip https://h/whip/{i} --streams 3 --bitrate 2.5M --fps 30 --gop 2s --audio --insecure",
            "run --whip http://h/a --whep http://h/b --simulcast --link 2M --max-latency 300",
            "watch --whep http://h/b --picture --max-latency none",
            "link --listen 127.0.0.1:1 --to 127.0.0.1:2 --link 800k --shared",
            "run --whip http://h/a --whep http://h/b --find-knee --server-pid 1 --cores 1,3-4 --report out --token t",
        ] {
            Cli::try_parse_from(std::iter::once("x").chain(line.split(' '))).unwrap();
        }
    }

    #[test]
    fn values_out_of_range_are_refused_with_the_valid_range() {
        for (line, expected) in [
            ("watch --whep http://h --ramp fast", "as in 50/s"),
            ("publish --whip http://h --data many", "messages a second"),
            ("publish --whip http://h --data -1", "from 0 to 1000"),
            ("publish --whip http://h --data 1 --data-bytes 43", "44..=16384"),
            ("publish --whip http://h --data-unreliable", "--data <RATE>"),
            ("watch --whep http://h --verify-fraction 2", "from 0 to 1"),
            ("publish --whip http://h --bitrate 1", "between 50k and 100M"),
            ("publish --whip http://h --gop 0", "between 0.001"),
            ("watch --whep http://h --cores 3-1", "write 1-3"),
            ("watch --whep http://h --link fast", "no rate: must be a rate in bits a second, as in 600k"),
            ("watch --whep http://h --link Cargo.toml", "a line begins with a time, as in 40s"),
            ("watch --whep http://h --max-latency soon", "milliseconds from 1 to 60000, or none"),
            ("watch --whep http://h --max-latency 0", "from 1 to 60000"),
            ("publish --whip http://h --simulcast --file x.h264", "cannot be used with"),
            ("link --listen nowhere --to 127.0.0.1:1 --link 1M", "nowhere"),
        ] {
            let error = Cli::try_parse_from(std::iter::once("x").chain(line.split(' '))).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_streams_number_takes_its_place_in_the_address() {
        assert_eq!(address("http://h:1/whep/{i}", 3).unwrap().path(), "/whep/3");
        let dealt = "watch --whep http://h/{i} --whep http://k/a --watched-streams 2";
        let arguments = std::iter::once("corecast-loadtest").chain(dealt.split(' '));
        let Command::Watch { watch, .. } = Cli::try_parse_from(arguments).unwrap().command else { panic!("watch") };
        let addresses = (0..5).map(|viewer| watch.address_of(viewer).unwrap().to_string());
        let expected = ["http://h/0", "http://k/a", "http://h/1", "http://k/a", "http://h/0"];
        assert_eq!(addresses.collect::<Vec<_>>(), expected);
        assert!(address("ftp://h/x", 0).unwrap_err().contains("not http"));
        assert!(address("h/x", 0).is_err());
    }

    #[test]
    fn units_are_read() {
        assert_eq!(
            (bitrate("2.5M"), bitrate("800k"), rate("50"), seconds("2s")),
            (Ok(2.5e6), Ok(8e5), Ok(50.0), Ok(Duration::from_secs(2)))
        );
        assert_eq!(cores("1,3-5").unwrap().0, [1, 3, 4, 5]);
    }
}
