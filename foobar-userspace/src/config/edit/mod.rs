//! A file's text, changed to say what runs: comments, order and form of what stays are kept.
//!
//! What was written is read again before anybody sees it: a part of the configuration that this code does not know how to
//! write is refused, never lost.

mod list;
mod service;
mod sets;

use std::net::IpAddr;

use toml_edit::{Array, DocumentMut, InlineTable, Item as Node, Table, Value};

use self::list::{Item, List};
use super::{Config, Firewall, Interface, Mode, Policy};
use crate::{api::types::Refusal, domain::Rule};

/// The text that says what `running` is.
pub fn save(text: &str, running: &Config) -> Result<String, Refusal> {
    let (wanted, _) = running.as_file();
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Refusal::refused(format!("the file is not TOML: {}", error.message()))
            .hint("name another file: foobar save FILE")
    })?;
    let root = document.as_table_mut();
    if !wanted.interfaces.is_empty() || root.contains_key("interfaces") {
        edit_array(root, "interfaces", |list| interfaces(list, &wanted.interfaces));
    }
    firewall(root, &wanted);
    service::write(root, &wanted.services);
    tunnels(root, &wanted.tunnels);
    let text = document.to_string();
    let said = Config::parse(&text, "the file")?.as_file().0;
    if said.sorted() != wanted.sorted() {
        return Err(Refusal::broken("what runs cannot be written into this file").hint("write it by hand: foobar diff"));
    }
    Ok(text)
}

/// Changes the array of a key, which is made where it is not there.
pub(super) fn edit_array(table: &mut Table, key: &str, edit: impl FnOnce(&mut Vec<Item>)) {
    let node = table.entry(key).or_insert_with(|| Node::Value(Value::Array(Array::new())));
    if let Some(array) = node.as_array_mut() {
        edit_list(array, edit);
    }
}

pub(super) fn edit_list(array: &mut Array, edit: impl FnOnce(&mut Vec<Item>)) {
    let mut list = List::of(array);
    edit(&mut list.items);
    let decor = array.decor().clone();
    *array = list.into_array();
    *array.decor_mut() = decor;
}

/// The wanted things in their order; `known` finds the item that says one, which is then changed in place.
pub(super) fn follow<T>(
    items: &mut Vec<Item>,
    wanted: &[T],
    known: impl Fn(&Value, &T) -> bool,
    change: impl Fn(&mut Value, &T),
    make: impl Fn(&T) -> Value,
) {
    let mut old: Vec<_> = std::mem::take(items).into_iter().map(Some).collect();
    for thing in wanted {
        let found = old.iter_mut().find(|item| item.as_ref().is_some_and(|item| known(&item.value, thing)));
        let mut item = found.and_then(Option::take).unwrap_or_else(|| Item::new(make(thing)));
        change(&mut item.value, thing);
        items.push(item);
    }
}

fn firewall(root: &mut Table, wanted: &Config) {
    let Firewall { default, rules, egress, sets } = &wanted.firewall;
    if !root.contains_key("firewall") {
        if wanted.firewall == Firewall::default() {
            return;
        }
        let mut table = Table::new();
        if rules.is_empty() {
            table.set_implicit(*default == Policy::Pass);
        } else {
            set_default(&mut table, *default, Policy::Drop);
        }
        root.insert("firewall", Node::Table(table));
    }
    let Some(table) = root.get_mut("firewall").and_then(Node::as_table_mut) else { return };
    set_rules(table, rules);
    if !egress.is_idle() && !table.contains_key("egress") {
        table.insert("egress", Node::Table(Table::new()));
    }
    if let Some(table) = table.get_mut("egress").and_then(Node::as_table_mut) {
        set_rules(table, &egress.rules);
        set_default(table, egress.default, Policy::Pass);
    }
    sets::write(table, sets);
    // As a file is read: what says nothing of the firewall but what this host sends lets everything in.
    let says_nothing = !table.contains_key("rules") && table.contains_key("egress");
    set_default(table, *default, if says_nothing { Policy::Pass } else { Policy::Drop });
}

fn tunnels(root: &mut Table, wanted: &[IpAddr]) {
    if wanted.is_empty() && !root.contains_key("tunnels") {
        return;
    }
    let node = root.entry("tunnels").or_insert_with(|| Node::Table(Table::new()));
    let Some(table) = node.as_table_mut() else { return };
    let known = |value: &Value, address: &IpAddr| value.as_str().and_then(|text| text.parse().ok()) == Some(*address);
    edit_array(table, "from", |items| follow(items, wanted, known, |_, _| {}, |address| address.to_string().into()));
}

fn set_rules(table: &mut Table, rules: &[Rule]) {
    if !rules.is_empty() || table.contains_key("rules") {
        edit_array(table, "rules", |items| edit_rules(items, rules));
    }
}

/// `missing`: what a section that does not say means.
fn set_default(table: &mut Table, default: Policy, missing: Policy) {
    let said = table.get("default").and_then(Node::as_str).unwrap_or(missing.word());
    if said != default.word() {
        set(table, "default", default.word());
    }
}

/// Sets a value, whose comments stay.
pub(super) fn set(table: &mut Table, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(old) = table.get(key).and_then(Node::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Node::Value(value));
}

/// Rules that end by themselves stay in the file behind the last of the rules before them that stays.
fn edit_rules(items: &mut Vec<Item>, wanted: &[Rule]) {
    let read = |value: &Value| value.as_str().and_then(|text| text.parse::<Rule>().ok());
    let mut ending = Vec::new();
    let mut before = Vec::new();
    for item in items.iter() {
        match read(&item.value) {
            Some(rule) if rule.lifetime.is_some() => ending.push((before.len(), item.clone())),
            rule => before.extend(rule),
        }
    }
    let known = |value: &Value, rule: &Rule| read(value).as_ref() == Some(rule);
    follow(items, wanted, known, |_, _| {}, |rule| rule.to_string().into());
    for (count, item) in ending.into_iter().rev() {
        let find = |rule: &Rule| items.iter().position(|item| read(&item.value).as_ref() == Some(rule));
        let place = before[..count].iter().rev().find_map(find);
        items.insert(place.map_or(0, |place| place + 1), item);
    }
}

fn interfaces(items: &mut Vec<Item>, wanted: &[Interface]) {
    let name = |value: &Value| {
        let inside = |table: &InlineTable| table.get("name").and_then(Value::as_str).map(str::to_owned);
        value.as_str().map(str::to_owned).or_else(|| value.as_inline_table().and_then(inside))
    };
    let known = |value: &Value, interface: &Interface| name(value).as_ref() == Some(&interface.name);
    let change = |value: &mut Value, interface: &Interface| {
        if let Some(table) = value.as_inline_table_mut() {
            say_interface(table, interface);
        } else if interface.mode != Mode::Auto || interface.peer.is_some() {
            *value = make_interface(interface);
        }
    };
    follow(items, wanted, known, change, make_interface);
}

fn make_interface(interface: &Interface) -> Value {
    if interface.mode == Mode::Auto && interface.peer.is_none() {
        return interface.name.as_str().into();
    }
    let mut table = InlineTable::new();
    table.insert("name", interface.name.as_str().into());
    say_interface(&mut table, interface);
    Value::InlineTable(table)
}

fn say_interface(table: &mut InlineTable, interface: &Interface) {
    let mode = match interface.mode {
        Mode::Auto => None,
        Mode::Native => Some("native"),
        Mode::Generic => Some("generic"),
    };
    let said = table.get("mode").and_then(Value::as_str).map(str::to_owned);
    if said.as_deref() != mode && !(mode.is_none() && said.as_deref() == Some("auto")) {
        say(table, "mode", mode);
    }
    if table.get("peer").and_then(Value::as_str) != interface.peer.as_deref() {
        say(table, "peer", interface.peer.as_deref());
    }
}

/// Sets a key, or takes it out.
fn say(table: &mut InlineTable, key: &str, value: Option<&str>) {
    match value {
        Some(value) => drop(table.insert(key, value.into())),
        None => drop(table.remove(key)),
    }
}

#[cfg(test)]
mod tests;
