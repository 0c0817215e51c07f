//! The text format 0.0.4 of Prometheus, from the same families in OpenMetrics 1.0.
//!
//! What differs: the older format names a family as its lines are named, suffix included; it knows neither
//! units nor the type `info`, and has no end mark. The lines themselves are the same, escapes and numbers
//! included.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

/// Rewrites what `prometheus_client` wrote: a `HELP`, a `TYPE` and maybe a `UNIT` before a family's lines.
pub(super) fn from_openmetrics(text: &str) -> String {
    let mut classic = String::with_capacity(text.len() + text.len() / 16);
    // Its family's type comes after it.
    let mut help = "";
    for line in text.lines() {
        let Some(comment) = line.strip_prefix("# ") else {
            push(&mut classic, &[line]);
            continue;
        };
        let (keyword, rest) = comment.split_once(' ').unwrap_or((comment, ""));
        let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
        match keyword {
            "HELP" => help = said,
            "TYPE" => {
                let (suffix, kind) = match said {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                push(&mut classic, &["# HELP ", name, suffix, " ", help]);
                push(&mut classic, &["# TYPE ", name, suffix, " ", kind]);
            }
            // UNIT and EOF.
            _ => {}
        }
    }
    classic
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied().chain(["\n"]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_named_as_the_older_format_has_it() {
        let openmetrics = "\
# HELP a_samples Samples.
# TYPE a_samples counter
# UNIT a_samples samples
a_samples_total{reason=\"x # y\"} 1
# HELP b B.
# TYPE b info
b_info{version=\"1\"} 1
# HELP c_seconds C.
# TYPE c_seconds histogram
# UNIT c_seconds seconds
c_seconds_sum 1.5
c_seconds_count 2
c_seconds_bucket{le=\"1.0\"} 1
c_seconds_bucket{le=\"+Inf\"} 2
# HELP d D.
# TYPE d gauge
d 0.5
# HELP e E.
# TYPE e unknown
e 7
# EOF
";
        let classic = "\
# HELP a_samples_total Samples.
# TYPE a_samples_total counter
a_samples_total{reason=\"x # y\"} 1
# HELP b_info B.
# TYPE b_info gauge
b_info{version=\"1\"} 1
# HELP c_seconds C.
# TYPE c_seconds histogram
c_seconds_sum 1.5
c_seconds_count 2
c_seconds_bucket{le=\"1.0\"} 1
c_seconds_bucket{le=\"+Inf\"} 2
# HELP d D.
# TYPE d gauge
d 0.5
# HELP e E.
# TYPE e untyped
e 7
";
        assert_eq!(from_openmetrics(openmetrics), classic);
    }
}
