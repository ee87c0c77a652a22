//! nginx as a backend, with its access log as the other side's account of the requests.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{IpAddr, TcpStream},
    path::PathBuf,
    process::Stdio,
};

use super::{
    PATIENCE,
    network::Network,
    shell::{Beside, wait_until},
};

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Nginx {
    access_log: PathBuf,
    _process: Beside,
}

impl Nginx {
    /// Answers on port 80 of a host as the tests' own server does.
    pub fn start(network: &Network, host: &str) -> Self {
        Self::listen(network, host, 80)
    }

    /// The same on another port.
    pub fn listen(network: &Network, host: &str, port: u16) -> Self {
        Self::with_log(network, host, port, "access.log plain")
    }

    /// On port 80 for as many requests as there can be, of which it writes nothing down.
    pub fn without_log(network: &Network, host: &str) -> Self {
        Self::with_log(network, host, 80, "off")
    }

    fn with_log(network: &Network, host: &str, port: u16, log: &str) -> Self {
        let directory = network.names.directory().join(format!("nginx-{host}"));
        fs::create_dir(&directory).expect("a directory for nginx");
        let (access_log, file) = (directory.join("access.log"), directory.join("nginx.conf"));
        let errors = directory.join("error.log");
        fs::write(&file, configuration(host, port, log)).expect("nginx's configuration");
        let mut nginx = network.inside(host, "nginx");
        nginx.arg("-p").arg(&directory).arg("-c").arg(&file).arg("-e").arg(&errors);
        nginx.stdout(Stdio::null()).stderr(File::create(directory.join("stderr")).expect("nginx's log"));
        let mut process = Beside::start(&mut nginx);
        wait_until("nginx to listen", PATIENCE, || {
            assert!(!process.has_ended(), "nginx ended: {}", fs::read_to_string(&errors).unwrap_or_default());
            network.within(host, || TcpStream::connect(("127.0.0.1", port)).is_ok())
        });
        Self { access_log, _process: process }
    }

    /// Requests in the access log.
    pub fn logged(&self) -> u64 {
        self.log().lines().filter(|line| line.starts_with("GET /")).count() as u64
    }

    /// Who they came from.
    pub fn clients(&self) -> BTreeSet<IpAddr> {
        let log = self.log();
        let addresses = log.lines().filter_map(|line| line.split(' ').next_back());
        addresses.map(|text| text.parse::<IpAddr>().expect("an address").to_canonical()).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.access_log).expect("nginx's access log")
    }
}

fn configuration(host: &str, port: u16, log: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|what| format!("  {what}_temp_path {what};\n")).concat();
    format!(
        "daemon off;\nmaster_process off;\nuser root;\npid nginx.pid;\nevents {{ worker_connections 512; }}\nhttp {{\n\
         {temporary}  log_format plain '$request $status $remote_addr';\n  access_log {log};\n  keepalive_requests 100000;\n\
         \x20 server {{\n    listen [::]:{port} ipv6only=off;\n    location / {{ return 200 \"{host} $request_uri\\n\"; }}\n  }}\n}}\n"
    )
}
