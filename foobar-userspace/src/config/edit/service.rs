//! `[[service]]` in a file that is edited: one table a service, found by its name.

use std::net::IpAddr;

use foobar_common::layout::RING_SLOTS;
use toml_edit::{Array, ArrayOfTables, InlineTable, Item as Node, Table, Value};

use super::{edit_array, follow, list::Item, set};
use crate::domain::{
    Affinity, Backend, Encapsulation, Forward, Queries, Service, ServicePorts, duration,
    service::{DEFAULT_IDLE, DEFAULT_WEIGHT},
};

/// Changes, adds and removes services.
pub fn write(root: &mut Table, wanted: &[Service]) {
    if wanted.is_empty() && !root.contains_key("service") {
        return;
    }
    let node = root.entry("service").or_insert_with(|| Node::ArrayOfTables(ArrayOfTables::new()));
    let Some(tables) = node.as_array_of_tables_mut() else { return };
    tables.retain(|table| name(table).is_some_and(|name| wanted.iter().any(|service| service.name == name)));
    for service in wanted {
        if tables.iter().all(|table| name(table) != Some(&service.name)) {
            let mut table = Table::new();
            table.insert("name", service.name.as_str().into());
            table.decor_mut().set_prefix("\n");
            tables.push(table);
        }
        if let Some(table) = tables.iter_mut().find(|table| name(table) == Some(&service.name)) {
            say(table, service);
        }
    }
    if tables.is_empty() {
        root.remove("service");
    }
}

fn name(table: &Table) -> Option<&str> {
    table.get("name").and_then(Node::as_str)
}

fn say(table: &mut Table, service: &Service) {
    let said = |table: &Table, key: &str| table.get(key).and_then(Node::as_str).map(str::to_owned);
    if said(table, "address").and_then(|text| text.parse().ok()) != Some(service.address) {
        set(table, "address", service.address.to_string());
    }
    if table.get("ports").and_then(ports) != Some(service.ports.clone()) {
        set(table, "ports", service.ports.to_string());
    }
    let idle = said(table, "idle").and_then(|text| duration::parse(&text).ok());
    if idle.unwrap_or(DEFAULT_IDLE) != service.idle {
        set(table, "idle", duration::write(service.idle));
    }
    let word = said(table, "forward").and_then(|text| text.parse().ok());
    if word.unwrap_or(Forward::Dsr) != service.forward {
        set(table, "forward", service.forward.to_string());
    }
    let word = said(table, "encapsulation").and_then(|text| text.parse().ok());
    if word.unwrap_or(Encapsulation::Ip) != service.encapsulation {
        set(table, "encapsulation", service.encapsulation.to_string());
    }
    say_snat(table, service);
    let word = Queries::WORDS.iter().find(|(_, queries)| *queries == service.queries).map_or("auto", |(word, _)| word);
    if said(table, "queries").as_deref().unwrap_or("auto") != word {
        set(table, "queries", word);
    }
    if table.get("echo").and_then(Node::as_bool).unwrap_or(true) != service.echo {
        set(table, "echo", service.echo);
    }
    let word = said(table, "affinity").and_then(|text| text.parse().ok());
    if word.unwrap_or(Affinity::Flow) != service.affinity {
        set(table, "affinity", service.affinity.to_string());
    }
    if table.get("quic_config").and_then(Node::as_integer).unwrap_or(0) != i64::from(service.quic_config) {
        set(table, "quic_config", i64::from(service.quic_config));
    }
    if table.get("ring").and_then(Node::as_integer).unwrap_or(RING_SLOTS.into()) != i64::from(service.ring) {
        set(table, "ring", i64::from(service.ring));
    }
    match table.get_mut("backends") {
        Some(Node::ArrayOfTables(tables)) => backend_tables(tables, &service.backends),
        Some(_) => edit_array(table, "backends", |items| backends(items, &service.backends)),
        None => {
            let mut array: Array = service.backends.iter().map(make).collect();
            array.iter_mut().for_each(|value| value.decor_mut().set_prefix("\n    "));
            array.set_trailing("\n");
            array.set_trailing_comma(true);
            table.insert("backends", Node::Value(Value::Array(array)));
        }
    }
}

/// The ports that a word or a list of words says.
fn ports(node: &Node) -> Option<ServicePorts> {
    match node.as_array() {
        Some(items) => ServicePorts::of_items(items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?),
        None => ServicePorts::of_items(node.as_str()),
    }
}

fn say_snat(table: &mut Table, service: &Service) {
    let parsed = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    let said: Vec<Option<IpAddr>> =
        table.get("snat").and_then(Node::as_array).map_or_else(Vec::new, |array| array.iter().map(parsed).collect());
    if said.iter().flatten().eq(&service.snat) && said.iter().all(Option::is_some) {
        return;
    }
    if service.snat.is_empty() {
        table.remove("snat");
    } else {
        let addresses: Array = service.snat.iter().map(ToString::to_string).collect();
        table.insert("snat", Node::Value(Value::Array(addresses)));
    }
}

fn backends(items: &mut Vec<Item>, wanted: &[Backend]) {
    let address = |value: &Value| value.as_inline_table()?.get("address")?.as_str()?.parse().ok();
    let known = |value: &Value, backend: &Backend| address(value) == Some(backend.address);
    let change = |value: &mut Value, backend: &Backend| {
        let Some(table) = value.as_inline_table_mut() else { return };
        let said = table.get("weight").and_then(Value::as_integer).unwrap_or(DEFAULT_WEIGHT.into());
        if said != i64::from(backend.weight) {
            table.insert("weight", i64::from(backend.weight).into());
        }
        match backend.port {
            Some(port) if table.get("port").and_then(Value::as_integer) != Some(port.into()) => {
                table.insert("port", i64::from(port).into());
            }
            Some(_) => {}
            None => drop(table.remove("port")),
        }
        if table.get("backup").and_then(Value::as_bool).unwrap_or(false) != backend.backup {
            table.insert("backup", backend.backup.into());
        }
        match backend.server_id {
            Some(id)
                if table.get("server_id").and_then(Value::as_str).and_then(|text| text.parse().ok()) != Some(id) =>
            {
                table.insert("server_id", id.to_string().into());
            }
            Some(_) => {}
            None => drop(table.remove("server_id")),
        }
    };
    follow(items, wanted, known, change, make);
}

fn make(backend: &Backend) -> Value {
    let mut table = InlineTable::new();
    table.insert("address", backend.address.to_string().into());
    if let Some(port) = backend.port {
        table.insert("port", i64::from(port).into());
    }
    if backend.weight != DEFAULT_WEIGHT {
        table.insert("weight", i64::from(backend.weight).into());
    }
    if backend.backup {
        table.insert("backup", true.into());
    }
    if let Some(id) = backend.server_id {
        table.insert("server_id", id.to_string().into());
    }
    Value::InlineTable(table)
}

fn backend_tables(tables: &mut ArrayOfTables, wanted: &[Backend]) {
    let address = |table: &Table| table.get("address").and_then(Node::as_str).and_then(|text| text.parse().ok());
    tables.retain(|table| wanted.iter().any(|backend| address(table) == Some(backend.address)));
    for backend in wanted {
        if tables.iter().all(|table| address(table) != Some(backend.address)) {
            let mut table = Table::new();
            table.insert("address", backend.address.to_string().into());
            tables.push(table);
        }
        let Some(table) = tables.iter_mut().find(|table| address(table) == Some(backend.address)) else { continue };
        let said = table.get("weight").and_then(Node::as_integer).unwrap_or(DEFAULT_WEIGHT.into());
        if said != i64::from(backend.weight) {
            set(table, "weight", i64::from(backend.weight));
        }
        match backend.port {
            Some(port) if table.get("port").and_then(Node::as_integer) != Some(port.into()) => {
                set(table, "port", i64::from(port));
            }
            Some(_) => {}
            None => drop(table.remove("port")),
        }
        if table.get("backup").and_then(Node::as_bool).unwrap_or(false) != backend.backup {
            set(table, "backup", backend.backup);
        }
        match backend.server_id {
            Some(id)
                if table.get("server_id").and_then(Node::as_str).and_then(|text| text.parse().ok()) != Some(id) =>
            {
                set(table, "server_id", id.to_string());
            }
            Some(_) => {}
            None => drop(table.remove("server_id")),
        }
    }
}
