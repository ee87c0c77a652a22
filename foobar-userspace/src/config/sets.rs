//! `[firewall.sets]`: named sets, each with a file or a list of prefixes. And the files.

use std::{collections::BTreeMap, fs, io, path::Path};

use ipnet::IpNet;

use super::{
    ConfigError,
    places::Span,
    section::{Section, Value},
};
use crate::domain::{
    SetSource,
    mistake::{Fault, Parsed, Word},
    name, prefix,
    set::List,
};

const EXAMPLE: &str = "blocklist = { file = \"/etc/foobar/blocklist.txt\" }";
const PREFIXES: &str = "prefixes = [\"10.0.0.0/8\"]";

/// Reads every set, and where its name stands.
pub fn read(value: &Value<'_>) -> Parsed<(BTreeMap<String, SetSource>, BTreeMap<String, Span>)> {
    let section = value.section("[firewall.sets]", EXAMPLE)?;
    let (mut sets, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (name, span, value) in section.entries("a set") {
        name::name(Word::whole(name)).map_err(|fault| Fault { span: span.clone(), ..fault })?;
        sets.insert(name.to_owned(), source(&value.section("a set", EXAMPLE)?)?);
        places.insert(name.to_owned(), span);
    }
    Ok((sets, places))
}

fn source(section: &Section<'_>) -> Parsed<SetSource> {
    section.keys(&["file", "prefixes"], &[])?;
    match (section.value("file"), section.value("prefixes")) {
        (Some(file), None) => {
            let text = file.text(EXAMPLE)?;
            let path = Path::new(text.value);
            if !path.is_absolute() {
                let fault = Fault::new(text.inside(), format!("`{}` is not an absolute path", text.value));
                return Err(fault.hint("write the whole path: the daemon has a directory of its own"));
            }
            Ok(SetSource::File(path.to_owned()))
        }
        (None, Some(list)) => list.list(PREFIXES)?.iter().map(prefix).collect::<Parsed<_>>().map(SetSource::Prefixes),
        _ => Err(Fault::new(section.span(), "a set has either a `file` or `prefixes`")
            .hint(format!("write it as in `{EXAMPLE}` or `office = {{ {PREFIXES} }}`"))),
    }
}

fn prefix(value: &Value<'_>) -> Parsed<IpNet> {
    let text = value.text(PREFIXES)?;
    prefix::read(text.word()).map_err(|fault| text.place(fault))
}

/// What a set's source lists now.
pub fn read_source(source: &SetSource) -> Result<List, ConfigError> {
    match source {
        SetSource::File(path) => Ok(read_list(path)?.1),
        SetSource::Prefixes(prefixes) => Ok(List::given(prefixes)),
    }
}

/// Reads a set's file: its text, and what it lists.
pub fn read_list(path: &Path) -> Result<(String, List), ConfigError> {
    let name = path.display().to_string();
    // One that waits for a writer would have everybody wait.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(ConfigError::unreadable(&name, &io::Error::other("it is not a regular file")));
    }
    let bytes = fs::read(path).map_err(|error| ConfigError::unreadable(&name, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| ConfigError::not_text(&name, &error))?;
    let list = parse_list(&text, path)?;
    Ok((text, list))
}

/// Reads a list's text; `path` is for the error only.
pub fn parse_list(text: &str, path: &Path) -> Result<List, ConfigError> {
    List::read(text).map_err(|fault| ConfigError::placed(&path.display().to_string(), text, fault))
}
