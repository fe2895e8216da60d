//! The report's plots, as SVG by `plotters`.
//!
//! Colours are CSS variables of the page (see `report`), because the same file is read on light and on dark screens.
//! `plotters` takes only plain colours, so each is drawn in a placeholder colour, which is replaced by a variable
//! afterwards.

use plotters::prelude::*;

use crate::results::{CURVE, Results};

type Error = Box<dyn std::error::Error>;

const SIZE: (u32, u32) = (880, 320);

/// Placeholder colours, and the page's variables that replace them.
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);
const SERIES: [(RGBColor, &str); 4] = [
    (RGBColor(11, 12, 13), "var(--one)"),
    (RGBColor(21, 22, 23), "var(--two)"),
    (RGBColor(31, 32, 33), "var(--three)"),
    (RGBColor(41, 42, 43), "var(--four)"),
];

/// A line: its name and points.
type Line<'a> = (&'a str, Vec<(f64, f64)>);

/// Values against time in seconds.
fn over_time(unit: &str, lines: &[Line<'_>]) -> Result<String, Error> {
    over("seconds", unit, lines)
}

fn over(below: &str, unit: &str, lines: &[Line<'_>]) -> Result<String, Error> {
    let end = lines.iter().flat_map(|(_, points)| points).map(|point| point.0).fold(1.0, f64::max);
    let top = lines.iter().flat_map(|(_, points)| points).map(|point| point.1).fold(0.0, f64::max).max(1e-3) * 1.08;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(34)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..end, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_desc(below)
            .y_desc(unit)
            .y_label_formatter(&|value| number(*value))
            .draw()?;
        for ((_, points), (colour, _)) in lines.iter().zip(SERIES) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        }
        area.present()?;
    }
    Ok(legend(lines) + &themed(svg))
}

/// The legend; empty for a single line.
fn legend(lines: &[Line<'_>]) -> String {
    if lines.len() < 2 {
        return String::new();
    }
    let names = lines
        .iter()
        .zip(SERIES)
        .map(|((name, _), (_, variable))| format!("<span><b style=\"background:{variable}\"></b>{name}</span>"));
    format!("<p class=\"legend\">{}</p>", names.collect::<String>())
}

/// A value at each quantile. The quantiles are evenly spaced in nines (90 %, 99 %, …), so that the slowest few can be
/// seen.
fn quantiles(lines: &[Line<'_>]) -> Result<String, Error> {
    let points: Vec<(f64, f64)> = lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    let top = points.iter().map(|point| point.1).fold(0.1, f64::max) * 1.5;
    let bottom = points.iter().map(|point| point.1).fold(top, f64::min).max(1e-3) / 1.5;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(34)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..4.3, (bottom..top).log_scale())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_labels(5)
            .x_label_formatter(&|nines: &f64| match nines.round() as u32 {
                0 => "least".to_owned(),
                nines => format!("{} %", 100.0 - 100.0 / 10_f64.powi(nines as i32)),
            })
            .y_desc("milliseconds")
            .y_label_formatter(&|value| number(*value))
            .draw()?;
        for ((_, points), (colour, _)) in lines.iter().zip(SERIES) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        }
        area.present()?;
    }
    Ok(legend(lines) + &themed(svg))
}

fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value if value >= 10.0 => format!("{value:.0}"),
        value => format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}

/// Replaces the placeholders by the page's colours, and makes the size follow the page.
fn themed(svg: String) -> String {
    let hex = |RGBColor(red, green, blue): RGBColor| format!("#{red:02X}{green:02X}{blue:02X}");
    let mut svg = svg.replace(&hex(INK), "var(--ink)").replace(&hex(GRID), "var(--grid)");
    for (colour, variable) in SERIES {
        svg = svg.replace(&hex(colour), variable);
    }
    svg.replacen(&format!("width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1), "role=\"img\"", 1)
}

/// Every plot of the report with its title. A plot without a point is left out.
pub(crate) fn all(results: &Results) -> Result<Vec<(&'static str, String)>, Error> {
    let time = |value: fn(&crate::results::Second) -> f64| -> Vec<(f64, f64)> {
        // The last second is not complete.
        let whole = results.timeline.len().saturating_sub(1).max(1);
        results.timeline.iter().take(whole).map(|second| (second.second as f64, value(second))).collect()
    };
    let mut plots = Vec::new();
    let curves: Vec<Line<'_>> = [
        ("one-way latency, video", "video_latency"),
        ("one-way latency, audio", "audio_latency"),
        ("start to first packet", "start_to_first_packet"),
        ("start to first key frame", "start_to_key_frame"),
    ]
    .into_iter()
    .filter_map(|(name, key)| {
        let distribution = results.distributions.get(key).filter(|distribution| distribution.count > 0)?;
        let nines = |quantile: f64| -(1.0 - quantile).max(5e-5).log10();
        let points = CURVE.into_iter().zip(&distribution.curve);
        Some((name, points.map(|(at, us)| (nines(at), *us as f64 / 1e3)).collect()))
    })
    .collect();
    if !curves.is_empty() {
        plots.push(("Latency percentiles", quantiles(&curves)?));
    }
    if results.viewers_intended > 0 {
        let joins = [
            ("intended", time(|second| second.intended as f64)),
            ("connected", time(|second| second.connected as f64)),
            ("with a picture", time(|second| second.with_picture as f64)),
        ];
        plots.push(("Join curve", over_time("viewers", &joins)?));
        plots.push(("Throughput", over_time("Mbit/s", &[("received", time(|second| second.bytes as f64 * 8e-6))])?));
        let latency = [
            ("half", time(|second| second.latency_p50_us as f64 / 1e3)),
            ("99 %", time(|second| second.latency_p99_us as f64 / 1e3)),
        ];
        plots.push(("One-way video latency over time", over_time("milliseconds", &latency)?));
        plots.push(("Packets lost", over_time("packets/s", &[("lost", time(|second| second.lost as f64))])?));
    }
    if let Some(knee) = &results.knee
        && knee.steps.len() > 1
    {
        let latency = knee.steps.iter().map(|step| (step.viewers as f64, step.latency_p99_us as f64 / 1e3)).collect();
        plots.push(("Latency against viewers", over("viewers", "milliseconds, 99 %", &[("latency", latency)])?));
    }
    Ok(plots)
}
