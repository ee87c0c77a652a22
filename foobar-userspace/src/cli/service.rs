//! `foobar service add|rm|list`

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use foobar_common::layout::RING_SLOTS;

use super::{Global, output, status};
use crate::{
    api::{
        client::path,
        types::{BackendSpec, Refusal, ServiceSpec, ServiceStatus},
    },
    domain::BackendArg,
};

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process parses one")]
pub enum Service {
    /// Spread what comes to an address and port over backends
    Add(Add),
    /// Remove a service: its packets go to this host again
    #[command(visible_alias = "remove")]
    Rm {
        #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// List the services and their backends
    List,
}

#[derive(Args, Debug)]
#[command(after_help = "Example: foobar service add web 192.0.2.10 tcp/80 --backend 10.0.0.11 --backend 10.0.0.12=50")]
pub struct Add {
    /// What it is called
    name: String,
    /// The address that clients use
    address: String,
    /// Its ports, of tcp or of udp: tcp/443, tcp/80,443,8000-8099 or tcp/any
    #[arg(value_name = "PORTS")]
    port: String,
    /// A server behind it, its share of new connections (100), and with affinity quic what names it in connection ids
    #[arg(long = "backend", value_name = "ADDRESS[:PORT][=WEIGHT][@SERVER_ID]", required = true)]
    backends: Vec<String>,
    /// One that takes new connections while no other does
    #[arg(long = "backup", value_name = "ADDRESS[=WEIGHT][@SERVER_ID]")]
    backups: Vec<String>,
    /// How packets get to the backends: with a new MAC alone, inside another packet, with a new destination, or with both
    /// ends new
    #[arg(long, value_name = "dsr|tunnel|nat|snat", default_value = "dsr")]
    forward: String,
    /// What a tunnel puts packets into
    #[arg(long, value_name = "ip|gue")]
    encapsulation: Option<String>,
    /// With snat: an address of this host that packets come from; else the one that the route to a backend has
    #[arg(long, value_name = "ADDRESS")]
    snat: Vec<String>,
    /// What is counted as a query
    #[arg(long, value_name = "auto|http|connections", default_value = "auto")]
    queries: String,
    /// Answer echo requests (ping) to its address, or leave them to the rules
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    echo: bool,
    /// What goes to one backend: each connection, all of one source, or each QUIC connection whatever its address
    #[arg(long, value_name = "flow|source|quic", default_value = "flow")]
    affinity: String,
    /// With affinity quic: the config rotation codepoint of connection ids, 0 to 6
    #[arg(long, value_name = "N")]
    quic_config: Option<u8>,
    /// Slots of its ring; more spread many backends more evenly. Fixed for the service's life, as affinity is
    #[arg(long, value_name = "SLOTS", default_value_t = RING_SLOTS)]
    ring: u32,
    /// How long a silent connection stays on its backend when the backends change
    #[arg(long, value_name = "DURATION", default_value = "3h")]
    idle: String,
}

impl Service {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        match self {
            Self::Add(add) => add.run(global).await,
            Self::Rm { name } => {
                let _: serde_json::Value = global.client().delete(&path(&["services", &name])).await?;
                output::say(&format!("service {name} is removed"));
                Ok(())
            }
            Self::List => list(global).await,
        }
    }
}

impl Add {
    async fn run(self, global: &Global) -> Result<(), Refusal> {
        let spec = self.spec()?;
        let _: serde_json::Value = global.client().post(&path(&["services"]), &spec).await?;
        output::say(&format!("service {} is added", spec.name));
        Ok(())
    }

    fn spec(self) -> Result<ServiceSpec, Refusal> {
        let Self { name, address, port, backends, backups, forward, encapsulation, snat, .. } = &self;
        let (backends, backups) = (backends.iter().map(|text| (text, false)), backups.iter().map(|text| (text, true)));
        let backends = backends.chain(backups).map(|(text, backup)| backend(text, backup)).collect::<Result<_, _>>()?;
        Ok(ServiceSpec {
            name: name.clone(),
            address: address.clone(),
            port: port.clone(),
            forward: Some(forward.clone()),
            encapsulation: encapsulation.clone(),
            snat: snat.clone(),
            queries: Some(self.queries),
            echo: Some(self.echo),
            affinity: Some(self.affinity),
            quic_config: self.quic_config,
            ring: Some(self.ring),
            idle: Some(self.idle),
            backends,
        })
    }
}

async fn list(global: &Global) -> Result<(), Refusal> {
    let services: Vec<ServiceStatus> = global.client().get(&path(&["services"])).await?;
    if services.is_empty() && !global.json {
        output::say("there are no services; add one: foobar service add --help");
        return Ok(());
    }
    output::either(global.json, &services, || status::services(&services))
}

fn backend(text: &str, backup: bool) -> Result<BackendSpec, Refusal> {
    let BackendArg { at, weight, server_id } = text.parse()?;
    let server_id = server_id.map(|id| id.to_string());
    Ok(BackendSpec { address: at.to_string(), weight: Some(weight), backup, server_id })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn spec(line: &str) -> Result<ServiceSpec, Refusal> {
        match Cli::try_parse_from(line.split(' ')).expect(line).command {
            Some(Command::Service(Service::Add(add))) => add.spec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_service_is_read_with_its_backends() {
        let spec = spec("foobar service add web 192.0.2.10 tcp/80 --backend 10.0.0.11 --backend 10.0.0.12=50").unwrap();

        assert_eq!((spec.name.as_str(), spec.port.as_str()), ("web", "tcp/80"));
        let backends: Vec<_> = spec.backends.iter().map(|backend| (backend.address.as_str(), backend.weight)).collect();
        assert_eq!(backends, [("10.0.0.11", Some(100)), ("10.0.0.12", Some(50))]);
    }

    #[test]
    fn backends_are_named_as_their_servers_are() {
        let spec =
            spec("foobar service add web 192.0.2.10 udp/443 --affinity quic --quic-config 1 --backend 10.0.0.11@0a01");
        let ServiceSpec { affinity, quic_config, backends, .. } = spec.unwrap();
        assert_eq!((affinity.as_deref(), quic_config), (Some("quic"), Some(1)));
        assert_eq!(backends[0].server_id.as_deref(), Some("0a01"));
    }

    #[test]
    fn what_is_no_backend_is_refused_with_a_hint() {
        let refusal = spec("foobar service add web 192.0.2.10 tcp/80 --backend web1").unwrap_err();

        assert!(refusal.error.contains("not an address"), "{}", refusal.error);
        assert!(refusal.hint.is_some(), "the next step is named");
    }

    #[test]
    fn a_service_without_backends_is_refused() {
        Cli::try_parse_from("foobar service add web 192.0.2.10 tcp/80".split(' ')).unwrap_err();
    }
}
