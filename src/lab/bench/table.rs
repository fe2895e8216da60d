//! The comparison for people: the table, and its meaning in words.

use std::fmt::Write as _;

use super::compare::Row;

/// Above the table.
pub const HEAD: &str = "\
| sink     | train | viewers | io    | floor ns | relay ns | difference | ratio | control       | seal + send | sent as      |
|----------|-------|---------|-------|----------|----------|------------|-------|---------------|-------------|--------------|";

/// A line of the table.
#[must_use]
pub fn line(row: &Row) -> String {
    let missing =
        if row.missing > 0 { format!("  ({} packets missing: not comparable)", row.missing) } else { String::new() };
    format!(
        "| {:8} | {:5} | {:7} | {:5} | {:8.0} | {:8.0} | {:10.0} | {:5.2} | {:.3} ± {:5.3} | {:4.0} + {:4.0} | {:5.2} a train |{missing}",
        row.sink,
        row.train,
        row.viewers,
        row.io,
        row.floor_ns,
        row.relay_ns,
        row.difference_ns,
        row.ratio,
        row.control,
        row.control_spread,
        row.seal_ns,
        row.send_ns,
        row.packets_per_message,
    )
}

/// The result in words: for each sink what dominates, and how far the relay is from the floor.
#[must_use]
pub fn words(rows: &[Row]) -> String {
    let mut text = String::new();
    for sink in ["null", "loopback", "nic"] {
        let of_sink = || rows.iter().filter(|row| row.sink == sink);
        // The shape that the budgets are stated for, or the nearest to it.
        let reference = of_sink().min_by_key(|row| (row.train.abs_diff(8), row.viewers.abs_diff(1_000)));
        let Some(row) = reference else { continue };
        let noise = row.floor_ns * row.control_spread.max((row.control - 1.0).abs());
        let (seal, send) = (row.seal_ns / row.relay_ns * 100.0, row.send_ns / row.relay_ns * 100.0);
        let own = row.difference_ns / row.relay_ns * 100.0;
        let _ =
            write!(text, "\n{}, {} packets to each of {} viewers ({}): ", title(sink), row.train, row.viewers, row.io);
        if sink == "null" {
            let _ = write!(
                text,
                "sealing is {:.0} ns a packet and the relay adds {:.0} ns to it ({own:.0} % of its time)",
                row.floor_ns, row.difference_ns
            );
        } else {
            let _ = write!(
                text,
                "of the relay's {:.0} ns a packet {seal:.0} % seal, {send:.0} % are the kernel's send and {:.0} ns \
                 ({own:.0} %) are its own",
                row.relay_ns, row.difference_ns
            );
        }
        let _ = write!(text, ". {}.", distance(row.ratio));
        if row.difference_ns.abs() <= noise {
            let _ = write!(text, " That is within the control's {noise:.0} ns: no difference was shown.");
        } else if row.control_spread > 0.05 {
            let _ = write!(
                text,
                " The floor against itself spread ±{:.0} %: something else runs here, trust no digit behind that.",
                row.control_spread * 100.0
            );
        }
        let (first, last) = (
            of_sink().min_by_key(|r| (r.train, r.viewers.abs_diff(row.viewers))),
            of_sink().max_by_key(|r| (r.train, usize::MAX - r.viewers.abs_diff(row.viewers))),
        );
        if let (Some(first), Some(last)) = (first, last)
            && first.train < last.train
        {
            let _ = write!(
                text,
                " A packet in a train of {} costs {:.0} ns, alone {:.0} ns.",
                last.train, last.relay_ns, first.relay_ns
            );
        }
        text.push('\n');
    }
    text
}

fn title(sink: &str) -> &'static str {
    match sink {
        "null" => "Nothing is sent (null)",
        "loopback" => "Loopback, which charges the sender for the receiver's path too",
        _ => "NIC-like interface with segmentation by the kernel",
    }
}

fn distance(ratio: f64) -> &'static str {
    match ratio {
        ..1.1 => "It is at the floor: a faster relay would not be noticed",
        1.1..1.3 => "It is near the floor",
        1.3..2.0 => "It is some way from the floor: its own work is worth looking at",
        _ => "It is far from the floor: most of the time goes into its own work",
    }
}
