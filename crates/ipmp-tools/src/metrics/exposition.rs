//! Metrics that have their values already, and their text.

use std::io;
use std::time::Duration;

use ipmp_core::totals::Distribution;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

/// The text's media type.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// What stands in braces behind a metric's name.
pub(super) type Labels = Vec<(&'static str, String)>;

/// All metrics, in the order in which they are added.
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<MetricFamily>);

impl Exposition {
    /// Adds a metric that goes up and down.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let metrics = samples.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = labelled(labels);
            metric.set_gauge(gauge);
            metric
        });
        self.add(name, help, MetricType::GAUGE, metrics.collect());
    }

    /// Adds one that only goes up.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, u64)>,
    ) {
        let metrics = samples.into_iter().map(|(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(number(value));
            let mut metric = labelled(labels);
            metric.set_counter(counter);
            metric
        });
        self.add(name, help, MetricType::COUNTER, metrics.collect());
    }

    /// Adds a distribution of lengths of time.
    pub(super) fn histogram<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, &'a Distribution)>,
    ) {
        let metrics = samples.into_iter().map(|(labels, distribution)| {
            let mut histogram = Histogram::default();
            histogram.set_sample_count(distribution.count);
            histogram.set_sample_sum(distribution.sum.as_secs_f64());
            let buckets = distribution.within.iter().map(|within| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(within.bound.as_secs_f64());
                bucket.set_cumulative_count(within.count);
                bucket
            });
            histogram.set_bucket(buckets.collect());
            let mut metric = labelled(labels);
            metric.set_histogram(histogram);
            metric
        });
        self.add(name, help, MetricType::HISTOGRAM, metrics.collect());
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // A metric without samples is not shown: there may be no probing, no group.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    /// The text.
    pub(super) fn text(&self) -> io::Result<String> {
        TextEncoder::new()
            .encode_to_string(&self.0)
            .map_err(io::Error::other)
    }
}

fn labelled(labels: Labels) -> Metric {
    let pairs = labels.into_iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value);
        pair
    });
    Metric::from_label(pairs.collect())
}

/// A number as Prometheus has all numbers.
#[expect(
    clippy::cast_precision_loss,
    reason = "a counter beyond 2^53 may be off by one"
)]
pub(super) const fn number(value: u64) -> f64 {
    value as f64
}

/// A length of time in the base unit.
pub(super) const fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// A condition.
pub(super) const fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}
