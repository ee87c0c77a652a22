//! `interfaces = ["eth0", { name = "veth0", mode = "native", peer = "blue:veth1" }]`

use super::{
    Interface, Mode,
    places::InterfacePlaces,
    section::{Section, Value},
};
use crate::domain::{mistake::Parsed, name};

const EXAMPLE: &str = "interfaces = [\"eth0\"]";

pub fn read(file: &Section<'_>) -> Parsed<(Vec<Interface>, Vec<InterfacePlaces>)> {
    let Some(list) = file.value("interfaces") else {
        return Ok((Vec::new(), Vec::new()));
    };
    list.list(EXAMPLE)?.iter().map(interface).collect()
}

fn interface(value: &Value<'_>) -> Parsed<(Interface, InterfacePlaces)> {
    if !value.is_table() {
        let text = value.text(EXAMPLE)?;
        name::interface(text.word()).map_err(|fault| text.place(fault))?;
        let interface = Interface { name: text.value.to_owned(), mode: Mode::Auto, peer: None };
        return Ok((interface, InterfacePlaces { name: text.inside(), peer: None }));
    }
    let section = value.section("an interface", EXAMPLE)?;
    section.keys(&["name", "mode", "peer"], &[])?;
    let text = section.required("name", "\"eth0\"")?.text("name = \"eth0\"")?;
    name::interface(text.word()).map_err(|fault| text.place(fault))?;
    let mode = section.value("mode").map_or(Ok(Mode::Auto), |value| {
        value.choice(&[("auto", Mode::Auto), ("native", Mode::Native), ("generic", Mode::Generic)], &[])
    })?;
    let peer = section.value("peer").map(|value| value.text("peer = \"blue:veth1\"")).transpose()?;
    if let Some(peer) = &peer {
        name::peer(peer.word()).map_err(|fault| peer.place(fault))?;
    }
    let places = InterfacePlaces { name: text.inside(), peer: peer.as_ref().map(super::section::Text::inside) };
    Ok((Interface { name: text.value.to_owned(), mode, peer: peer.map(|peer| peer.value.to_owned()) }, places))
}
