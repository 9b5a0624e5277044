//! Results as a table and a plot.

use std::fmt::Write as _;
use std::path::PathBuf;

use cluster::Database;
use sqlx::ConnectOptions;

use super::samples::Spread;

/// The target of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn verdict(self, value: f64) -> String {
        let (word, bound, is_met) = match self {
            Self::AtLeast(bound) => ("at least", bound, value >= bound),
            Self::AtMost(bound) => ("at most", bound, value <= bound),
        };
        format!("{word} {bound}: {}", if is_met { "met" } else { "missed" })
    }
}

pub(crate) struct Report {
    text: String,
    name: &'static str,
    /// The number of callers, our appends per second, and plain inserts per second.
    curve: Vec<(usize, f64, f64)>,
}

impl Report {
    /// Begins a report. `name` is the name of the bench and of the files that it writes.
    pub(crate) async fn begin(database: &Database, title: &str, name: &'static str) -> Self {
        let mut connection = database.options().connect().await.unwrap();
        let server: String = sqlx::query_scalar("select current_setting('server_version')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let machine = machine();
        let text = format!(
            "# {title}, measured\n\nMade by `cargo bench --bench {name}`. Ratios compare \
             what one run measured in turns; the range is that of its rounds. Server and clients \
             share the machine.\n\n{machine}; PostgreSQL {server}; cqrs-postgres {}\n",
            env!("CARGO_PKG_VERSION")
        );
        println!("{text}");
        Self { text, name, curve: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(crate) fn section(&mut self, title: &str) {
        self.line(&format!(
            "\n## {title}\n\n| what | figure | range | target |\n|---|---|---|---|"
        ));
    }

    pub(crate) fn ratio(&mut self, what: &str, ratio: Spread, target: Option<Target>) {
        let verdict = target.map_or_else(String::new, |target| target.verdict(ratio.median));
        let Spread { median, low, high } = ratio;
        self.line(&format!("| {what} | **{median:.2}** | {low:.2} to {high:.2} | {verdict} |"));
    }

    pub(crate) fn value(&mut self, what: &str, value: f64, target: Option<Target>) {
        let verdict = target.map_or_else(String::new, |target| target.verdict(value));
        self.line(&format!("| {what} | **{value:.2}** | | {verdict} |"));
    }

    pub(crate) fn curve(&mut self, curve: Vec<(usize, f64, f64)>) {
        self.curve = curve;
    }

    /// Writes the table and the plot to `benches/results/`.
    pub(crate) async fn write(&self) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/results");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.md", self.name)), &self.text).unwrap();
        if !self.curve.is_empty() {
            std::fs::write(folder.join(format!("{}.svg", self.name)), plot(&self.curve)).unwrap();
        }
        println!("\nwritten to {}", folder.display());
    }
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
        value.unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.split(' ').next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0);
    format!(
        "{}, {cores} cores, {} GiB, {}",
        value(&read("/proc/cpuinfo"), "model name"),
        memory >> 20,
        std::env::consts::OS
    )
}

/// Plots appends and inserts per second by the number of callers, with logarithmic axes.
fn plot(curve: &[(usize, f64, f64)]) -> String {
    const LEFT: f64 = 70.0;
    const TOP: f64 = 30.0;
    const WIDTH: f64 = 480.0;
    const HEIGHT: f64 = 280.0;
    let x = |callers: usize| LEFT + WIDTH * (callers as f64).log2() / 8.0;
    let y = |rate: f64| TOP + HEIGHT * (1.0 - ((rate.log10() - 3.0) / 2.0).clamp(0.0, 1.0));
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 620 370\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"620\" height=\"370\" fill=\"white\"/>\n",
    );
    let mut add = |line: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = svg.write_fmt(line);
        svg.push('\n');
    };
    for rate in [1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0] {
        let y = y(rate);
        add(format_args!(
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
            LEFT + WIDTH
        ));
        add(format_args!(
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{rate}</text>",
            LEFT - 8.0,
            y + 4.0
        ));
    }
    for (callers, ..) in curve {
        add(format_args!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{callers}</text>",
            x(*callers),
            TOP + HEIGHT + 20.0
        ));
    }
    add(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">callers</text>",
        LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 42.0
    ));
    add(format_args!("<text x=\"{LEFT}\" y=\"18\">durable single-event appends a second</text>"));
    let ours: fn(&(usize, f64, f64)) -> f64 = |point| point.1;
    let plain: fn(&(usize, f64, f64)) -> f64 = |point| point.2;
    for (name, color, rate) in
        [("group commit", "#0b6e4f", ours), ("plain INSERT", "#b23a48", plain)]
    {
        let points: Vec<String> =
            curve.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(rate(point)))).collect();
        add(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>",
            points.join(" ")
        ));
        for point in curve {
            add(format_args!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\"/>",
                x(point.0),
                y(rate(point))
            ));
        }
        if let Some(last) = curve.last() {
            add(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{color}\" text-anchor=\"end\">{name}</text>",
                x(last.0),
                y(rate(last)) - 10.0
            ));
        }
    }
    svg.push_str("</svg>\n");
    svg
}
