//! `[[service]]`: what is balanced, and over which backends.

use std::{net::IpAddr, ops::Range};

use foobar_common::layout::RING_SLOTS;

use super::{
    places::{BackendPlaces, ServicePlaces},
    section::{Section, Text, Value},
};
use crate::domain::{
    Affinity, Backend, Encapsulation, Forward, Queries, Service, ServicePorts, duration,
    mistake::{Fault, Parsed, Word},
    name, prefix,
    service::{DEFAULT_IDLE, DEFAULT_WEIGHT, MAX_WEIGHT, MIXED, other_port, server_id, service_ports},
};

const PORTS: &str = "ports = [\"tcp/80\", \"tcp/443\"]";
const BACKENDS: &str = "backends = [{ address = \"10.0.0.11\", weight = 100 }]";

const KEYS: [&str; 13] = [
    "name",
    "address",
    "ports",
    "forward",
    "encapsulation",
    "snat",
    "affinity",
    "quic_config",
    "ring",
    "idle",
    "queries",
    "echo",
    "backends",
];

const LATER: [(&str, &str); 2] = [
    ("health", "this version does not check backends; drain and ready them by `foobar backend`"),
    ("on_down", "this version does not check backends"),
];

pub fn read(file: &Section<'_>) -> Parsed<(Vec<Service>, Vec<ServicePlaces>)> {
    let Some(value) = file.value("service") else {
        return Ok((Vec::new(), Vec::new()));
    };
    if value.is_table() {
        let fault = Fault::new(value.span(), "`[service]` must be a list of tables, and is one table");
        return Err(fault.hint("write `[[service]]`, with two brackets on each side"));
    }
    value.list("[[service]]")?.iter().map(service).collect()
}

fn service(value: &Value<'_>) -> Parsed<(Service, ServicePlaces)> {
    let section = value.section("[[service]]", "[[service]]")?;
    section.keys(&KEYS, &LATER)?;
    let fields = Fields::read(&section)?;
    let (ports, ports_at) = ports(&fields.ports)?;
    let list = fields.backends.list(BACKENDS)?;
    let forward = section.value("forward").map_or(Ok(Forward::Dsr), forward)?;
    let (backends, each) = list.iter().map(|value| backend(value, &ports, forward)).collect::<Parsed<(_, _)>>()?;
    let service = Service {
        name: checked(&fields.name, name::name)?.to_owned(),
        address: checked(&fields.address, prefix::address)?,
        ports,
        forward,
        encapsulation: section.value("encapsulation").map_or(Ok(Encapsulation::Ip), encapsulation)?,
        snat: section.value("snat").map_or(Ok(Vec::new()), snat)?,
        queries: fields.queries.map_or(Ok(Queries::Auto), queries)?,
        echo: section.value("echo").map_or(Ok(true), |value| value.flag("echo = false"))?,
        affinity: section.value("affinity").map_or(Ok(Affinity::Flow), affinity)?,
        quic_config: section.value("quic_config").map_or(Ok(0), |value| value.number(0..=6, "quic_config = 0"))?,
        ring: fields.ring.map_or(Ok(RING_SLOTS), |value| value.number(1..=u32::MAX, "ring = 65537"))?,
        idle: fields.idle.as_ref().map_or(Ok(DEFAULT_IDLE), |text| checked(text, duration::read))?,
        backends,
    };
    Ok((service, fields.places(&section, ports_at, each)))
}

/// What a service says, not yet understood.
struct Fields<'t> {
    name: Text<'t>,
    address: Text<'t>,
    ports: Value<'t>,
    idle: Option<Text<'t>>,
    queries: Option<Value<'t>>,
    ring: Option<Value<'t>>,
    backends: Value<'t>,
}

impl<'t> Fields<'t> {
    fn read(section: &Section<'t>) -> Parsed<Self> {
        Ok(Self {
            name: section.required("name", "\"web\"")?.text("name = \"web\"")?,
            address: section.required("address", "\"192.0.2.10\"")?.text("address = \"192.0.2.10\"")?,
            ports: section.required("ports", "\"tcp/443\"")?,
            idle: section.value("idle").map(|value| value.text("idle = \"3h\"")).transpose()?,
            queries: section.value("queries"),
            ring: section.value("ring"),
            backends: section.required("backends", "[{ address = \"10.0.0.11\" }]")?,
        })
    }

    fn places(&self, section: &Section<'_>, ports: Range<usize>, each: Vec<BackendPlaces>) -> ServicePlaces {
        let Self { name, address, ports: _, idle, queries, ring, backends } = self;
        ServicePlaces {
            section: section.span(),
            name: name.inside(),
            address: address.inside(),
            port: ports,
            idle: idle.as_ref().map(Text::inside),
            queries: queries.map(|value| value.span()),
            ring: ring.map(|value| value.span()),
            affinity: section.value("affinity").map(|value| value.span()),
            quic_config: section.value("quic_config").map(|value| value.span()),
            forward: ["snat", "encapsulation", "forward"].iter().find_map(|key| section.value(key)).map(|it| it.span()),
            backends: backends.span(),
            each,
        }
    }
}

/// Reads a string of the file as something; a mistake stands at its word.
fn checked<'t, T>(text: &Text<'t>, read: impl FnOnce(Word<'t>) -> Parsed<T>) -> Parsed<T> {
    read(text.word()).map_err(|fault| text.place(fault))
}

/// The ports, of one word or of a list of words, and where they stand.
fn ports(value: &Value<'_>) -> Parsed<(ServicePorts, Range<usize>)> {
    if !value.is_array() {
        let text = value.text("ports = \"tcp/443\"")?;
        return Ok((checked(&text, service_ports)?, text.inside()));
    }
    let mut all: Option<ServicePorts> = None;
    for item in value.list(PORTS)? {
        let text = item.text(PORTS)?;
        let ports = checked(&text, service_ports)?;
        let joined = all.as_ref().map_or(Some(ports.clone()), |before| before.joined(&ports));
        all = Some(joined.ok_or_else(|| Fault::new(text.inside(), MIXED.0).hint(MIXED.1))?);
    }
    let all = all.ok_or_else(|| Fault::new(value.span(), "a service has at least one port"));
    Ok((all.map_err(|fault| fault.hint(format!("write it as in `{PORTS}`")))?, value.span()))
}

fn forward(value: Value<'_>) -> Parsed<Forward> {
    value.choice(&Forward::WORDS, &[])
}

fn encapsulation(value: Value<'_>) -> Parsed<Encapsulation> {
    value.choice(&Encapsulation::WORDS, &[])
}

fn snat(value: Value<'_>) -> Parsed<Vec<IpAddr>> {
    let example = "snat = [\"10.0.0.5\"]";
    let address = |value: &Value<'_>| checked(&value.text(example)?, prefix::address);
    value.list(example)?.iter().map(address).collect()
}

fn affinity(value: Value<'_>) -> Parsed<Affinity> {
    value.choice(&Affinity::WORDS, &[])
}

fn queries(value: Value<'_>) -> Parsed<Queries> {
    value.choice(&Queries::WORDS, &Queries::LATER)
}

fn backend(value: &Value<'_>, service: &ServicePorts, forward: Forward) -> Parsed<(Backend, BackendPlaces)> {
    let section = value.section("a backend", BACKENDS)?;
    section.keys(&["address", "port", "weight", "backup", "server_id"], &[])?;
    let text = section.required("address", "\"10.0.0.11\"")?.text("address = \"10.0.0.11\"")?;
    let at = checked(&text, crate::domain::service::backend_address)?;
    if let Some(port) = at.port {
        let fault = Fault::new(text.inside(), "an address stands without its port in a file");
        return Err(fault.hint(format!("write `address = \"{}\", port = {port}`", at.address)));
    }
    let mut own = None;
    if let Some(value) = section.value("port") {
        let port = value.number(1..=u16::MAX, "port = 443")?;
        own = Some(port).filter(|port| service.only() != Some(*port));
        if own.is_some() && !forward.gives_ports(service) {
            return Err(other_port(value.span(), port, service, forward));
        }
    }
    let weight = section.value("weight");
    let share = weight.map_or(Ok(DEFAULT_WEIGHT), |value| value.number(0..=MAX_WEIGHT, "weight = 100"))?;
    let backup = section.value("backup").map_or(Ok(false), |value| value.flag("backup = true"))?;
    let id = section.value("server_id").map(|value| value.text("server_id = \"0a01\"")).transpose()?;
    let server_id = id.as_ref().map(|text| checked(text, server_id)).transpose()?;
    let places = BackendPlaces {
        address: text.inside(),
        weight: weight.map(|value| value.span()),
        server_id: id.map(|text| text.inside()),
    };
    Ok((Backend { port: own, backup, server_id, ..Backend::new(at.address, share) }, places))
}
