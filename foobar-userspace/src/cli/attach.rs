//! `foobar attach` and `foobar detach`. Detaching needs no daemon: whoever lost it must get rid of the program too.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, builder::NonEmptyStringValueParser};

use super::{Global, output};
use crate::{
    api::{
        client::path,
        types::{Attached, AttachedMode, Detached, InterfaceSpec, Refusal, Status},
    },
    config::Mode,
    daemon::{lock, preflight},
    datapath,
};

/// Where pins are, if nothing else is said.
pub const PIN_DIR: &str = "/sys/fs/bpf/foobar";

#[derive(Args, Debug)]
pub struct Attach {
    /// The interface
    #[arg(value_name = "IFACE", value_parser = NonEmptyStringValueParser::new())]
    interface: String,
    /// native is in the driver and fast; generic works everywhere and is slow; auto takes what the driver can
    #[arg(long, value_name = "auto|native|generic", default_value = "auto", value_parser = mode)]
    mode: Mode,
    /// The other end of a veth pair, which gets a program that passes everything: veth drops what is sent to it else
    #[arg(long, value_name = "[NETNS:]IFACE")]
    peer: Option<String>,
}

#[derive(Args, Debug)]
pub struct Detach {
    /// The interface; without one, all of them
    #[arg(value_name = "IFACE", value_parser = NonEmptyStringValueParser::new())]
    interface: Option<String>,
    /// Where the program and its maps are kept, if no daemon runs
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,
}

impl Attach {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let spec = InterfaceSpec { name: self.interface, mode: self.mode, peer: self.peer };
        let attached: Attached = global.client().post(&path(&["interfaces"]), &spec).await?;
        for warning in &attached.warnings {
            output::say(&format!("warning: {warning}"));
        }
        output::either(global.json, &attached, || sentence(&attached))
    }
}

impl Detach {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let Detached { interfaces: detached, warnings } = self.detach(global).await?;
        for warning in warnings {
            output::say(&format!("warning: {warning}"));
        }
        if detached.is_empty() {
            output::say(&format!("nothing was attached {}", self.looked()));
        }
        if global.json || !detached.is_empty() {
            output::either(global.json, &detached, || list(&detached))?;
        }
        Ok(())
    }

    async fn detach(&self, global: &Global) -> Result<Detached, Refusal> {
        let client = global.client();
        let lock = match &self.pin_dir {
            // Whoever holds these pins answers; if nobody does, they are ours.
            Some(pin_dir) => lock_pins(pin_dir),
            None if client.is_answered().await => return self.ask(global).await,
            None => lock_pins(Path::new(PIN_DIR)),
        };
        match lock {
            // Nobody starts a daemon on these pins meanwhile.
            Ok(_lock) => self.remove(),
            Err(refusal) => {
                self.refuse_another(global, refusal).await?;
                self.ask(global).await
            }
        }
    }

    /// The daemon that answers may be another one than that which holds the pins; then `held`, which names that, stands.
    async fn refuse_another(&self, global: &Global, held: Refusal) -> Result<(), Refusal> {
        if !global.client().is_answered().await {
            return Err(held);
        }
        let status: Status = global.client().get(&path(&["status"])).await?;
        if self.pin_dir.as_deref().is_none_or(|pin_dir| is_same(pin_dir, &status.pin_dir)) {
            return Ok(());
        }
        let (socket, other) = (global.socket.display(), status.pin_dir.display());
        Err(Refusal { error: format!("{}; the one on {socket} has {other}", held.error), ..held })
    }

    /// Where was looked: another instance has other pins.
    fn looked(&self) -> String {
        let pin_dir = self.pin_dir.as_deref().unwrap_or(Path::new(PIN_DIR));
        format!("by this daemon, or below {} (another instance: --socket PATH or --pin-dir DIR)", pin_dir.display())
    }

    async fn ask(&self, global: &Global) -> Result<Detached, Refusal> {
        let path = self.interface.as_deref().map_or_else(|| path(&["interfaces"]), |name| path(&["interfaces", name]));
        global.client().delete(&path).await
    }

    fn remove(&self) -> Result<Detached, Refusal> {
        let pin_dir = self.pin_dir.as_deref().unwrap_or(Path::new(PIN_DIR));
        match &self.interface {
            None => Ok(Detached { interfaces: datapath::remove_pins(pin_dir)?, warnings: Vec::new() }),
            Some(name) => Err(Refusal::refused(format!("without a daemon, {name} is not detached alone"))
                .hint("start the daemon (foobar run), or detach everything: foobar detach")),
        }
    }
}

fn lock_pins(pin_dir: &Path) -> Result<lock::PinLock, Refusal> {
    preflight::pins(pin_dir)?;
    lock::pins(pin_dir).map_err(|refusal| refusal.hint("ask that daemon: foobar --socket PATH detach"))
}

/// Whether both name one directory, whichever way they are written.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.components().eq(other.components()),
    }
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "auto" => Ok(Mode::Auto),
        "native" => Ok(Mode::Native),
        "generic" => Ok(Mode::Generic),
        _ => Err("it is auto, native or generic".to_owned()),
    }
}

fn sentence(attached: &Attached) -> String {
    let mode = match attached.mode {
        AttachedMode::Native => "in native mode",
        AttachedMode::Generic => "in generic mode",
        AttachedMode::Absent => "as soon as it is there",
    };
    let peer = attached.peer.as_ref().map_or_else(String::new, |peer| format!(", with a passing program on {peer}"));
    let off = match attached.turned_off.as_slice() {
        [] => String::new(),
        off => format!("; until it is detached, {} is off, which hid tags of VLANs", off.join(" and ")),
    };
    format!("{} is attached {mode}{peer}{off}", attached.name)
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("{name} is detached")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_words() {
        assert_eq!(mode("native"), Ok(Mode::Native));
        mode("Native").unwrap_err();
        mode("").unwrap_err();
    }

    #[test]
    fn what_was_attached_is_said() {
        let attached = Attached {
            name: "eth0".into(),
            mode: AttachedMode::Native,
            ifindex: 3,
            peer: Some("blue:eth0".into()),
            turned_off: vec![],
            warnings: vec![],
        };
        assert_eq!(sentence(&attached), "eth0 is attached in native mode, with a passing program on blue:eth0");
    }
}
