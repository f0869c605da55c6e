//! The metrics as OTLP has them, made of the text that Prometheus reads: whatever is registered there is exported here, under the same names.
//!
//! Source: "OpenMetrics 1.0", sections "Text format" and "Metric types"; OpenTelemetry, "Prometheus and OpenMetrics Compatibility".

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, number_data_point,
};

use crate::telemetry::attribute;

/// One sample of the text.
struct Sample<'t> {
    name: &'t str,
    labels: Vec<(&'t str, String)>,
    value: f64,
}

/// A metric with its samples.
#[derive(Default)]
struct Described<'t> {
    name: &'t str,
    help: &'t str,
    unit: &'t str,
    kind: &'t str,
    samples: Vec<Sample<'t>>,
}

/// `begun`: since when counters count; `now`: of what time the text is. Both are in nanoseconds since 1970.
pub(super) fn of_text(text: &str, begun: u64, now: u64) -> Vec<Metric> {
    let mut all: Vec<Described<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            let mut words = told.splitn(3, ' ');
            let (Some(word), Some(name)) = (words.next(), words.next()) else { continue };
            let rest = words.next().unwrap_or_default();
            if all.last().is_none_or(|last| last.name != name) {
                all.push(Described { name, ..Described::default() });
            }
            let Some(metric) = all.last_mut() else { continue };
            match word {
                "HELP" => metric.help = rest,
                "UNIT" => metric.unit = rest,
                "TYPE" => metric.kind = rest,
                _ => {}
            }
        } else if let (Some(metric), Some(sample)) = (all.last_mut(), sample(line)) {
            metric.samples.push(sample);
        }
    }
    all.into_iter().filter(|metric| !metric.samples.is_empty()).map(|metric| metric.into_otlp(begun, now)).collect()
}

impl Described<'_> {
    fn into_otlp(self, begun: u64, now: u64) -> Metric {
        let times = (begun, now);
        let (name, data) = match self.kind {
            "counter" => {
                let data_points = points(&self.samples, times);
                let temporality = AggregationTemporality::Cumulative.into();
                let sum = Sum { data_points, aggregation_temporality: temporality, is_monotonic: true };
                (format!("{}_total", self.name), Data::Sum(sum))
            }
            "histogram" => (self.name.to_owned(), Data::Histogram(histogram(&self.samples, times))),
            _ => (self.name.to_owned(), Data::Gauge(Gauge { data_points: points(&self.samples, (0, now)) })),
        };
        let unit = match self.unit {
            "seconds" => "s",
            "bytes" => "By",
            other => other,
        };
        let description = self.help.trim_end_matches('.').to_owned();
        Metric { name, description, unit: unit.to_owned(), metadata: Vec::new(), data: Some(data) }
    }
}

fn points(samples: &[Sample<'_>], (begun, now): (u64, u64)) -> Vec<NumberDataPoint> {
    let point = |sample: &Sample<'_>| NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: begun,
        time_unix_nano: now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    samples.iter().map(point).collect()
}

/// The samples of one set of labels follow each other: the sum, the count, and the buckets, each with those below it.
fn histogram(samples: &[Sample<'_>], (begun, now): (u64, u64)) -> Histogram {
    let mut data_points: Vec<HistogramDataPoint> = Vec::new();
    for sample in samples {
        let is_bucket = sample.name.ends_with("_bucket");
        let labels: Vec<_> = sample.labels.iter().filter(|(name, _)| !is_bucket || *name != "le").cloned().collect();
        let attributes = attributes(&labels);
        if data_points.last().is_none_or(|point| point.attributes != attributes) {
            data_points.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: begun,
                time_unix_nano: now,
                ..HistogramDataPoint::default()
            });
        }
        let Some(point) = data_points.last_mut() else { continue };
        if is_bucket {
            let bound = sample.labels.iter().find(|(name, _)| *name == "le").and_then(|(_, bound)| bound.parse().ok());
            let below: u64 = point.bucket_counts.iter().sum();
            point.bucket_counts.push((sample.value as u64).saturating_sub(below));
            point.explicit_bounds.extend(bound.filter(|bound: &f64| bound.is_finite()));
        } else if sample.name.ends_with("_sum") {
            point.sum = Some(sample.value);
        } else if sample.name.ends_with("_count") {
            point.count = sample.value as u64;
        }
    }
    Histogram { data_points, aggregation_temporality: AggregationTemporality::Cumulative.into() }
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| attribute(name, Value::StringValue(value.clone()))).collect()
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        None => (Vec::new(), rest),
        Some(rest) => labels(rest)?,
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// Labels up to the bracket that ends them, and what comes after it.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, after) = unescaped(quoted)?;
        labels.push((name, value));
        rest = after;
    }
}

/// A text up to its quote, and what comes after that.
fn unescaped(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram as Timing;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    fn texts(attributes: &[KeyValue]) -> Vec<(&str, Value)> {
        let value = |each: &'_ KeyValue| each.value.clone().and_then(|value| value.value).expect("a value");
        attributes.iter().map(|each| (&*each.key, value(each))).collect()
    }

    #[test]
    fn all_that_is_registered_is_exported_with_its_name_its_labels_and_its_values() {
        let mut registry = Registry::default();
        let calls = Family::<Vec<(&'static str, String)>, Counter>::default();
        calls.get_or_create(&vec![("hub", "a \"b\"\\\n{c},=".to_owned())]).inc_by(3);
        registry.register("calls", "Calls", calls);
        let lag = Gauge::<i64>::default();
        lag.set(-7);
        registry.register_with_unit("lag", "Lag", Unit::Seconds, lag);
        let times = Family::<Vec<(&'static str, String)>, Timing>::new_with_constructor(|| Timing::new([0.1, 1.0]));
        for (plugin, time) in [("a", 0.05), ("a", 0.5), ("a", 9.0), ("b", 0.5)] {
            times.get_or_create(&vec![("plugin", plugin.to_owned())]).observe(time);
        }
        registry.register("times", "Times", times);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a text");

        let [calls, lag, times] = &of_text(&text, 1, 2)[..] else { panic!("three metrics in {text}") };
        assert_eq!((&*calls.name, &*calls.description), ("calls_total", "Calls"));
        let Some(Data::Sum(sum)) = &calls.data else { panic!("{calls:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == AggregationTemporality::Cumulative as i32);
        let point = &sum.data_points[0];
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1, 2));
        assert_eq!(point.value, Some(number_data_point::Value::AsDouble(3.0)));
        assert_eq!(texts(&point.attributes), [("hub", Value::StringValue("a \"b\"\\\n{c},=".to_owned()))]);
        assert_eq!((&*lag.name, &*lag.unit), ("lag_seconds", "s"));
        let Some(Data::Gauge(gauge)) = &lag.data else { panic!("{lag:?}") };
        assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(-7.0)));
        let Some(Data::Histogram(histogram)) = &times.data else { panic!("{times:?}") };
        let point = |plugin: &str| {
            let plugin = Value::StringValue(plugin.to_owned());
            let is_of = |point: &&HistogramDataPoint| texts(&point.attributes) == [("plugin", plugin.clone())];
            histogram.data_points.iter().find(is_of).expect("a point")
        };
        let (a, b) = (point("a"), point("b"));
        assert_eq!(
            (a.count, a.sum, &a.bucket_counts[..], &a.explicit_bounds[..]),
            (3, Some(9.55), &[1, 1, 1][..], &[0.1, 1.0][..])
        );
        assert_eq!((b.count, &b.bucket_counts[..], histogram.data_points.len()), (1, &[0, 1, 0][..], 2));
    }
}
