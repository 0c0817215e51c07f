//! What a row of the tables of figures is, and how an entry becomes JSON by its table.

use std::borrow::Cow;

use serde::{Serialize, Serializer, ser::SerializeMap};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{KnownFormat, SchemaFormat, SchemaType, Type},
    },
};

use super::{Entry, ListenerEntry, Malformed, NetworkEntry, Refusal};

/// One figure of an account of type `E`.
#[derive(Debug, Clone, Copy)]
pub struct Term<E: 'static> {
    /// Its key in JSON, with its unit last.
    pub key: &'static str,
    /// Unit of its value.
    pub unit: Unit,
    /// One line without a full stop.
    pub help: &'static str,
    /// The family of metrics that has it, if any does.
    pub metric: Option<Metric>,
    /// Reads its value.
    pub of: fn(&E) -> Value,
}

/// A family of metrics; terms with different reasons share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Without prefix, unit and the suffix of its type.
    pub family: &'static str,
    /// The value of its label `reason`, in a family that has reasons.
    pub reason: Option<&'static str>,
    /// Whether it only goes up.
    pub is_counter: bool,
    /// Whether the sum over all streams is a metric.
    pub of_server: bool,
    /// Whether each stream has it.
    pub of_streams: bool,
}

/// Unit of a term's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are those of the units")]
pub enum Unit {
    Count,
    Samples,
    Frames,
    Packets,
    Streams,
    Bytes,
    /// 0.0 to 1.0.
    Ratio,
    Milliseconds,
    PartsPerMillion,
}

/// Value of a term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// Any other figure.
    Real(f64),
    /// There is none: null in JSON, no series.
    Absent,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(value) => serializer.serialize_u64(*value),
            Self::Real(value) => serializer.serialize_f64(*value),
            Self::Absent => serializer.serialize_none(),
        }
    }
}

impl<E> Term<E> {
    pub(crate) const fn new(
        key: &'static str,
        unit: Unit,
        help: &'static str,
        of: fn(&E) -> Value,
    ) -> Self {
        Self {
            key,
            unit,
            help,
            metric: None,
            of,
        }
    }

    /// Makes it a counter of the server and of each stream.
    pub(crate) const fn counter(self, family: &'static str) -> Self {
        self.metric(family, None, true)
    }

    /// Makes it one reason of a counter.
    pub(crate) const fn reason(self, family: &'static str, reason: &'static str) -> Self {
        self.metric(family, Some(reason), true)
    }

    /// Makes it a gauge of the server and of each stream.
    pub(crate) const fn gauge(self, family: &'static str) -> Self {
        self.metric(family, None, false)
    }

    const fn metric(
        mut self,
        family: &'static str,
        reason: Option<&'static str>,
        is_counter: bool,
    ) -> Self {
        self.metric = Some(Metric {
            family,
            reason,
            is_counter,
            of_server: true,
            of_streams: true,
        });
        self
    }

    /// Without series for single streams.
    pub(crate) const fn of_server(mut self) -> Self {
        if let Some(metric) = &mut self.metric {
            metric.of_streams = false;
        }
        self
    }

    /// Without a sum over all streams.
    pub(crate) const fn of_streams(mut self) -> Self {
        if let Some(metric) = &mut self.metric {
            metric.of_server = false;
        }
        self
    }
}

impl<E> Term<E> {
    /// The terms of a table that have these keys, in its order.
    pub(crate) fn chosen(
        table: &'static [Self],
        keys: &[&str],
    ) -> impl Iterator<Item = &'static Self> {
        table.iter().filter(|term| keys.contains(&term.key))
    }
}

/// Writes each term under its key.
fn write<E, M: SerializeMap>(
    terms: &'static [Term<E>],
    entry: &E,
    map: &mut M,
) -> Result<(), M::Error> {
    terms
        .iter()
        .try_for_each(|term| map.serialize_entry(term.key, &(term.of)(entry)))
}

/// An object with a property for each term.
fn schema<E: Default + 'static>(
    terms: impl Iterator<Item = &'static Term<E>>,
    may_be_null: bool,
) -> ObjectBuilder {
    let entry = E::default();
    let mut object = ObjectBuilder::new();
    for term in terms {
        let value = (term.of)(&entry);
        let (kind, format) = match value {
            Value::Whole(_) => (Type::Integer, KnownFormat::Int64),
            Value::Real(_) | Value::Absent => (Type::Number, KnownFormat::Double),
        };
        let kind = if may_be_null || value == Value::Absent {
            SchemaType::from_iter([kind, Type::Null])
        } else {
            kind.into()
        };
        let property = ObjectBuilder::new()
            .schema_type(kind)
            .format(Some(SchemaFormat::KnownFormat(format)))
            .description(Some(term.help));
        object = object.property(term.key, property).required(term.key);
    }
    object
}

impl<E> Term<E> {
    /// An object with each of them.
    pub(crate) fn serialize<S: Serializer>(
        terms: &'static [Self],
        entry: &E,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(terms.iter().map(|term| (term.key, (term.of)(entry))))
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Term::serialize(&Self::TERMS, self, serializer)
    }
}

impl PartialSchema for Entry {
    fn schema() -> RefOr<Schema> {
        schema(Self::TERMS.iter(), false).build().into()
    }
}

impl ToSchema for Entry {
    fn name() -> Cow<'static, str> {
        "Ledger".into()
    }
}

impl Serialize for NetworkEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write(&Self::TERMS, self, &mut map)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("events_not_kept", &self.events_beyond)?;
        map.end()
    }
}

impl PartialSchema for NetworkEntry {
    fn schema() -> RefOr<Schema> {
        let beyond = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("Events beyond those that are kept"));
        schema(Self::TERMS.iter(), false)
            .property("events", Vec::<super::Event>::schema())
            .required("events")
            .property("events_not_kept", beyond)
            .required("events_not_kept")
            .build()
            .into()
    }
}

impl ToSchema for NetworkEntry {
    fn name() -> Cow<'static, str> {
        "Network".into()
    }
}

impl Serialize for ListenerEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("refused", &self.refused())?;
        map.serialize_entry("malformed", &self.malformed())?;
        write(&Self::TERMS, self, &mut map)?;
        map.end()
    }
}

impl PartialSchema for ListenerEntry {
    fn schema() -> RefOr<Schema> {
        let mut object = schema(Self::TERMS.iter(), false);
        for (key, names) in [
            ("refused", Refusal::ALL.map(Refusal::name).as_slice()),
            ("malformed", &Malformed::ALL.map(Malformed::name)),
        ] {
            let reasons = names.iter().fold(ObjectBuilder::new(), |reasons, name| {
                let count = ObjectBuilder::new().schema_type(Type::Integer);
                reasons.property(*name, count).required(*name)
            });
            object = object.property(key, reasons).required(key);
        }
        object.build().into()
    }
}

impl ToSchema for ListenerEntry {}

/// The terms of [`NetworkEntry`] that a stream has beside those of its ledger, too; null unless it comes over a
/// network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkRow([Value; NETWORK_ROW.len()]);

const NETWORK_ROW: [&str; 6] = [
    "received_packets",
    "lost_packets",
    "last_packet_age_ms",
    "jitter_ms",
    "playout_delay_ms",
    "drift_ppm",
];

impl NetworkRow {
    /// The figures of a stream that comes over a network, or of another.
    pub(crate) fn new(network: Option<&NetworkEntry>) -> Self {
        let mut terms = Self::terms();
        Self(NETWORK_ROW.map(|_| {
            let of = terms.next().and_then(|term| network.map(term.of));
            of.unwrap_or(Value::Absent)
        }))
    }

    fn terms() -> impl Iterator<Item = &'static Term<NetworkEntry>> {
        Term::chosen(&NetworkEntry::TERMS, &NETWORK_ROW)
    }
}

impl Serialize for NetworkRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(Self::terms().map(|term| term.key).zip(&self.0))
    }
}

impl PartialSchema for NetworkRow {
    fn schema() -> RefOr<Schema> {
        schema(Self::terms(), true).build().into()
    }
}

impl ToSchema for NetworkRow {
    fn name() -> Cow<'static, str> {
        "NetworkRow".into()
    }
}
