//! Which format a scraper wants, by `Accept` (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older one of Prometheus, 0.0.4, which everything reads.
    Classic,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Type, subtype and version.
    fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            Self::Classic => ("text", "plain", "0.0.4"),
        }
    }
}

/// How a range of `Accept` names a format, the most exact last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    Anything,
    Type,
    Exactly,
}

/// The better liked of both. Where they are liked alike: the one that is named, and else the older one.
/// Who takes neither gets the older one, too: it is more than nothing.
pub(super) fn preferred(headers: &HeaderMap) -> Format {
    let ranges: Vec<Range<'_>> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(Range::read)
        .collect();
    let (openmetrics, named) = liking(&ranges, Format::OpenMetrics);
    let (classic, classic_named) = liking(&ranges, Format::Classic);
    if openmetrics > 0.0 && (openmetrics, named) > (classic, classic_named) {
        Format::OpenMetrics
    } else {
        Format::Classic
    }
}

/// How much a format is liked, by the range that names it most exactly; if several do so, by the best.
fn liking(ranges: &[Range<'_>], format: Format) -> (f32, Option<Named>) {
    let named = ranges.iter().filter_map(|range| range.names(format)).max();
    let liked = ranges
        .iter()
        .filter(|range| named.is_some() && range.names(format) == named)
        .map(|range| range.quality)
        .fold(0.0, f32::max);
    (liked, named)
}

/// One of the ranges of `Accept`.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    quality: f32,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts
            .next()
            .and_then(|kind| kind.split_once('/'))
            .unwrap_or_default();
        let mut range = Self {
            kind,
            subtype,
            version: None,
            quality: 1.0,
        };
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("version") {
                range.version = Some(value);
            } else if name.trim().eq_ignore_ascii_case("q") {
                let quality = value
                    .parse()
                    .ok()
                    .filter(|quality| (0.0..=1.0).contains(quality));
                range.quality = quality.unwrap_or(0.0);
            }
        }
        range
    }

    fn names(&self, format: Format) -> Option<Named> {
        let (kind, subtype, version) = format.parts();
        if (self.kind, self.subtype) == ("*", "*") {
            Some(Named::Anything)
        } else if !self.kind.eq_ignore_ascii_case(kind) {
            None
        } else if self.subtype == "*" {
            Some(Named::Type)
        } else if self.subtype.eq_ignore_ascii_case(subtype)
            && self.version.is_none_or(|wanted| wanted == version)
        {
            Some(Named::Exactly)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(accept: &[&str]) -> Format {
        let values = accept
            .iter()
            .map(|accept| (header::ACCEPT, accept.parse().unwrap()));
        preferred(&values.collect())
    }

    #[test]
    fn the_format_is_the_one_that_is_liked_better() {
        use Format::{Classic, OpenMetrics};
        for (accept, format) in [
            // Prometheus 2 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1",
                OpenMetrics,
            ),
            // Prometheus that is told to ask for the older one first.
            (
                "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5",
                Classic,
            ),
            // curl, and browsers.
            ("*/*", Classic),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Classic,
            ),
            ("", Classic),
            ("application/json", Classic),
            ("application/openmetrics-text", OpenMetrics),
            (
                "Application/OpenMetrics-Text; Version=\"1.0.0\" ; Q=0.3",
                OpenMetrics,
            ),
            ("application/openmetrics-text, */*", OpenMetrics),
            ("application/*", OpenMetrics),
            ("application/openmetrics-text; q=0, */*", Classic),
            ("application/openmetrics-text; q=0", Classic),
            ("application/openmetrics-text; q=none", Classic),
            ("application/openmetrics-text; version=0.0.1", Classic),
            ("text/*;q=0.5, application/openmetrics-text;q=0.4", Classic),
        ] {
            assert_eq!(of(&[accept]), format, "{accept}");
        }
    }

    #[test]
    fn several_headers_are_one_list_and_none_is_the_older_format() {
        let both = ["text/plain;q=0.5", "application/openmetrics-text;q=0.6"];
        assert_eq!(of(&both), Format::OpenMetrics);
        assert_eq!(of(&[]), Format::Classic);
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(accept in "[ -~]{0,80}", ranges in "[a-z*/;=q.0-9, ]{0,80}") {
            of(&[&accept, &ranges]);
        }
    }
}
