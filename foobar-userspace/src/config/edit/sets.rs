//! The sets in a file's text: what says the same already is left as it is written.

use std::{collections::BTreeMap, path::PathBuf};

use ipnet::IpNet;
use toml_edit::{InlineTable, Item as Node, Table, TableLike, Value};

use super::{edit_list, follow};
use crate::domain::{SetSource, mistake::Word, prefix, set::show};

/// Has `[firewall.sets]` say these.
pub fn write(firewall: &mut Table, wanted: &BTreeMap<String, SetSource>) {
    if wanted.is_empty() && !firewall.contains_key("sets") {
        return;
    }
    let node = firewall.entry("sets").or_insert_with(|| Node::Table(Table::new()));
    let Some(sets) = node.as_table_like_mut() else { return };
    let gone = |name: &String| !wanted.contains_key(name);
    for name in sets.iter().map(|(name, _)| name.to_owned()).filter(gone).collect::<Vec<_>>() {
        sets.remove(&name);
    }
    for (name, source) in wanted {
        if !sets.contains_key(name) {
            sets.insert(name, Node::Value(Value::InlineTable(InlineTable::new())));
        }
        if let Some(set) = sets.get_mut(name).and_then(Node::as_table_like_mut) {
            write_source(set, source);
        }
    }
}

fn write_source(set: &mut dyn TableLike, wanted: &SetSource) {
    match wanted {
        SetSource::File(path) => {
            set.remove("prefixes");
            if set.get("file").and_then(Node::as_str).map(PathBuf::from).as_ref() != Some(path) {
                set.insert("file", Node::Value(path.display().to_string().into()));
            }
        }
        SetSource::Prefixes(prefixes) => {
            set.remove("file");
            if !set.contains_key("prefixes") {
                set.insert("prefixes", Node::Value(Value::Array(toml_edit::Array::new())));
            }
            let Some(array) = set.get_mut("prefixes").and_then(Node::as_array_mut) else { return };
            let known = |value: &Value, net: &IpNet| read(value).as_ref() == Some(net);
            edit_list(array, |items| follow(items, prefixes, known, |_, _| {}, |net| show(net).into()));
        }
    }
}

fn read(value: &Value) -> Option<IpNet> {
    prefix::read(Word::whole(value.as_str()?)).ok()
}
