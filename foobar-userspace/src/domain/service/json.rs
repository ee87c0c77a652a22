//! A service as JSON. Reading it checks it.

use std::{net::IpAddr, time::Duration};

use foobar_common::layout::RING_SLOTS;
use serde::{Deserialize, Serialize};

use super::{Affinity, Backend, DEFAULT_IDLE, Encapsulation, Forward, Queries, Service, ServiceFault, ServicePorts};
use crate::domain::duration;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceJson {
    name: String,
    address: IpAddr,
    port: ServicePorts,
    #[serde(default)]
    forward: Forward,
    #[serde(default, skip_serializing_if = "is_default")]
    encapsulation: Encapsulation,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    snat: Vec<IpAddr>,
    #[serde(default)]
    queries: Queries,
    #[serde(default = "default_echo", skip_serializing_if = "is_default_echo")]
    echo: bool,
    #[serde(default)]
    affinity: Affinity,
    #[serde(default, skip_serializing_if = "is_default")]
    quic_config: u8,
    #[serde(default = "default_ring")]
    ring: u32,
    #[serde(default = "default_idle", with = "duration::text")]
    idle: Duration,
    backends: Vec<Backend>,
}

fn default_ring() -> u32 {
    RING_SLOTS
}

fn default_echo() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_default_echo(echo: &bool) -> bool {
    *echo
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_idle() -> Duration {
    DEFAULT_IDLE
}

impl From<Service> for ServiceJson {
    fn from(service: Service) -> Self {
        let Service { name, address, ports: port, forward, encapsulation, snat, queries, .. } = service;
        let Service { echo, affinity, quic_config, ring, idle, backends, .. } = service;
        Self {
            name,
            address,
            port,
            forward,
            encapsulation,
            snat,
            queries,
            echo,
            affinity,
            quic_config,
            ring,
            idle,
            backends,
        }
    }
}

impl TryFrom<ServiceJson> for Service {
    type Error = ServiceFault;

    fn try_from(json: ServiceJson) -> Result<Self, ServiceFault> {
        let ServiceJson { name, address, port, forward, encapsulation, snat, queries, .. } = json;
        let ServiceJson { echo, affinity, quic_config, ring, idle, backends, .. } = json;
        let service = Self {
            name,
            address,
            ports: port,
            forward,
            encapsulation,
            snat,
            queries,
            echo,
            affinity,
            quic_config,
            ring,
            idle,
            backends,
        };
        service.check()?;
        Ok(service)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::service::arbitrary;

    #[test]
    fn json_reads_like_the_config() {
        let text = r#"{"name":"web","address":"192.0.2.10","port":"tcp/443","backends":[{"address":"10.0.0.11"}]}"#;
        let service: Service = serde_json::from_str(text).unwrap();
        assert_eq!((service.ports.only(), service.idle, service.backends[0].weight), (Some(443), DEFAULT_IDLE, 100));
        let json = serde_json::to_string(&service).unwrap();
        assert!(json.contains(r#""port":"tcp/443""#) && json.contains(r#""idle":"3h""#), "{json}");
    }

    #[test]
    fn what_is_wrong_is_not_read() {
        for (text, said) in [
            (r#"{"name":"web","address":"192.0.2.10","port":"tcp/443","backends":[]}"#, "no backend"),
            (r#"{"name":"web","address":"192.0.2.10","port":"tcp/0","backends":[{"address":"10.0.0.1"}]}"#, "port 0"),
            (r#"{"name":"web","address":"192.0.2.10","port":"tcp/1","bakends":[]}"#, "unknown field"),
        ] {
            let error = serde_json::from_str::<Service>(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn json_and_service_are_inverse(service in arbitrary::service()) {
            let json = serde_json::to_string(&service).unwrap();
            prop_assert_eq!(serde_json::from_str::<Service>(&json).unwrap(), service);
        }
    }
}
