//! Figures beside their bars, as a table for people and as JSON for machines.

use std::time::Duration;

use serde_json::{Value, json};

use crate::load::Measured;

/// What a figure may be at most, or must be at least.
#[derive(Clone, Copy, Debug)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Told because it explains another figure.
    None,
}

#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    pub unit: &'static str,
    pub bar: Bar,
    /// One a run.
    pub values: Vec<f64>,
}

impl Figure {
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn verdict(&self) -> &'static str {
        match self.bar {
            Bar::AtMost(bar) if self.median() <= bar => "met",
            Bar::AtLeast(bar) if self.median() >= bar => "met",
            Bar::None => "",
            _ => "NOT MET",
        }
    }

    pub fn is_missed(&self) -> bool {
        self.verdict() == "NOT MET"
    }

    fn bar_text(&self) -> String {
        match self.bar {
            Bar::AtMost(bar) => format!("<= {}", number(bar)),
            Bar::AtLeast(bar) => format!(">= {}", number(bar)),
            Bar::None => String::new(),
        }
    }

    fn json(&self) -> Value {
        json!({"figure": self.name, "unit": self.unit, "median": self.median(), "runs": self.values,
            "bar": self.bar_text(), "verdict": self.verdict()})
    }
}

/// The figures of all runs, in the order in which they were first told.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
}

impl Report {
    pub fn add(&mut self, name: impl Into<String>, unit: &'static str, bar: Bar, value: f64) {
        let name = name.into();
        eprintln!("  {name}: {} {unit}", number(value));
        match self.figures.iter_mut().find(|it| it.name == name) {
            Some(figure) => figure.values.push(value),
            None => self.figures.push(Figure { name, unit, bar, values: vec![value] }),
        }
    }

    pub fn print(&self) {
        println!("{:<76} {:>12} {:<6} {:>12}  verdict", "figure (median)", "value", "unit", "bar");
        for it in &self.figures {
            println!(
                "{:<76} {:>12} {:<6} {:>12}  {}",
                it.name,
                number(it.median()),
                it.unit,
                it.bar_text(),
                it.verdict()
            );
        }
    }

    pub fn json(&self) -> Value {
        self.figures.iter().map(Figure::json).collect()
    }

    pub fn missed(&self) -> usize {
        self.figures.iter().filter(|it| it.is_missed()).count()
    }
}

fn number(value: f64) -> String {
    match value.abs() {
        it if it >= 100.0 => format!("{value:.0}"),
        it if it >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

pub fn print_load(
    measured: &Measured,
    cpu: Option<Duration>,
    peak_mib: Option<f64>,
    as_json: bool,
) -> anyhow::Result<()> {
    let count = measured.latency.len();
    let cpu_of_thousand = cpu.map(|it| it.as_secs_f64() * 1000.0 / count.max(1) as f64);
    let value = json!({
        "requests": count,
        "failures": measured.failures,
        "rate_per_second": measured.rate(),
        "p50_ms": measured.milliseconds(0.5),
        "p95_ms": measured.milliseconds(0.95),
        "p99_ms": measured.milliseconds(0.99),
        "max_ms": measured.longest_milliseconds(),
        "server_cpu_seconds_a_thousand": cpu_of_thousand,
        "server_peak_mib": peak_mib,
    });
    if as_json {
        println!("{value}");
        return Ok(());
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        match value.as_f64() {
            Some(value) => println!("{name:<32} {}", number(value)),
            None => println!("{name:<32} -"),
        }
    }
    Ok(())
}
