//! Ordinary programs on a host whose default drops: what they open works, and nobody else gets in.
//!
//! curl and nginx, a resolver and a DNS server, ping, a DHCP client and its server.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use foobar_tests::site::{BALANCER, Beside, Nginx, PATIENCE, Said, Site, backend, said, wait_until};

/// What a program does that gets no answer, in seconds.
const SHORT: &str = "2";
const NAME: &str = "mirror.test";

/// nginx and a server of names and addresses on `b1`; the balancer's host drops what nothing allows.
struct Stage {
    dnsmasq: Beside,
    nginx: Nginx,
    site: Site,
}

impl Stage {
    fn new() -> Self {
        let mut site = Site::quiet(0);
        site.network.add_backend(1);
        let nginx = Nginx::start(&site.network, "b1");
        let dnsmasq = dnsmasq(&site);
        let interface = format!("{{ name = \"eth0\", peer = \"{}\" }}", site.peer());
        site.foobar.configure(&format!("interfaces = [{interface}]\n[firewall]\ndefault = \"drop\"\n"));
        Self { dnsmasq, nginx, site }
    }

    /// A program on a host, with its words.
    fn on(&self, host: &str, line: &str) -> Said {
        said(&mut self.command(host, line))
    }

    fn command(&self, host: &str, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = self.site.network.inside(host, words.next().expect("a program"));
        command.args(words);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(log(&self.site)).expect("dnsmasq's log")
    }
}

fn log(site: &Site) -> PathBuf {
    site.foobar.directory.join("dnsmasq.log")
}

fn dnsmasq(site: &Site) -> Beside {
    let directory = site.foobar.directory.display();
    let mut command = site.network.inside("b1", "dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
    command
        .arg(format!("--address=/{NAME}/{}", backend(1)))
        .arg(format!("--local=/{NAME}/"))
        .args(["--interface=eth0", "--bind-interfaces"]);
    command.args(["--dhcp-range=10.77.0.200,10.77.0.210,255.255.255.0,2m", "--dhcp-authoritative", "--no-ping"]);
    command.arg(format!("--dhcp-leasefile={directory}/leases")).arg(format!("--log-facility={}", log(site).display()));
    command.arg(format!("--pid-file={directory}/dnsmasq.pid"));
    let mut server = Beside::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("dnsmasq to be up", PATIENCE, || {
        assert!(!server.has_ended(), "dnsmasq ended; hint: `cargo xtask setup` installs it");
        fs::read_to_string(log(site)).is_ok_and(|log| log.contains("started"))
    });
    server
}

#[test]
fn what_programs_of_this_host_ask_for_they_get_and_nobody_else_gets_in() {
    let mut stage = Stage::new();
    stage.site.foobar.start();
    let _server = stage.site.serve("lb", 80);
    let peer = backend(1);

    let body = stage.on("lb", &format!("curl -sS --max-time 20 http://{peer}/packages")).done();
    assert_eq!(body, "b1 /packages\n");
    let answer = stage.on("lb", &format!("busybox nslookup -type=a {NAME} {peer}")).done();
    assert!(answer.contains(&format!("Address: {peer}")), "{answer}");
    let named = format!("curl -sS --max-time 20 --resolve {NAME}:80:{peer} http://{NAME}/named");
    assert_eq!(stage.on("lb", &named).done(), "b1 /named\n");
    stage.on("lb", &format!("ping -c3 -i0.2 -W10 {peer}")).done();

    let dropped = stage.site.outcome("default_drop");
    for host in ["client", "b1"] {
        let curl = stage.on(host, &format!("curl -sS --max-time {SHORT} http://{BALANCER}/"));
        assert_eq!(curl.code, Some(28), "{host}: {}", curl.stderr);
        let ping = stage.on(host, &format!("ping -c1 -W{SHORT} {BALANCER}"));
        assert_eq!(ping.code, Some(1), "{host}: {}", ping.stdout);
        let lookup = stage.on(host, &format!("timeout {SHORT} busybox nslookup -type=a {NAME} {BALANCER}"));
        assert_ne!(lookup.code, Some(0), "{host}: {}", lookup.stdout);
    }
    assert!(stage.site.outcome("default_drop") >= dropped + 6, "they were dropped by the default");
}

#[test]
fn a_download_that_began_before_the_firewall_goes_on() {
    let mut stage = Stage::new();
    stage.site.foobar.configure("[firewall]\ndefault = \"drop\"\n");
    stage.site.foobar.start();
    // One connection, a request a second.
    let mut curl = stage.command("lb", "curl -sS --max-time 60 --rate 60/m -w %{num_connects}\\n");
    curl.args((1..=6).map(|part| format!("http://{}/{part}", backend(1))));
    let curl = curl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl runs");
    wait_until("the first request", PATIENCE, || stage.nginx.logged() > 0);

    stage.site.attach();

    let ended = curl.wait_with_output().expect("its end");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let parts: Vec<_> = (1..=6).map(|part| format!("b1 /{part}\n{}\n", u8::from(part == 1))).collect();
    assert_eq!(String::from_utf8_lossy(&ended.stdout), parts.concat(), "one connection from first to last");
    assert!(stage.site.outcome("reply") > 0, "the last of it came through the firewall");
}

#[test]
fn a_lease_is_got_and_renewed() {
    let mut stage = Stage::new();
    stage.site.foobar.start();
    let script = stage.site.foobar.directory.join("lease.sh");
    fs::write(&script, "#!/bin/sh\n[ -n \"$ip\" ] && ip address replace \"$ip/24\" dev eth0\nexit 0\n")
        .expect("a script");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    let line = format!("busybox udhcpc -f -i eth0 -t 10 -T 1 -A 1 -s {}", script.display());

    let mut client = stage.command("lb", &line);
    let client = Beside::start(client.stdout(Stdio::null()).stderr(Stdio::null()));
    let acknowledged = |stage: &Stage| stage.log().matches("DHCPACK(eth0)").count();
    wait_until("a lease", PATIENCE, || acknowledged(&stage) > 0);
    let show = || stage.on("lb", "ip -4 -oneline address show dev eth0").done();
    wait_until("the address", PATIENCE, || show().contains("10.77.0.20") || show().contains("10.77.0.210"));
    let sought = stage.log().matches("DHCPDISCOVER(eth0)").count();

    let got = acknowledged(&stage);
    // SIGUSR1: renew now, from the address that it has.
    let pid = rustix::process::Pid::from_raw(client.id().cast_signed()).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("it runs");
    wait_until("the renewal", Duration::from_secs(30), || acknowledged(&stage) > got);

    assert!(!stage.dnsmasq.has_ended());
    assert_eq!(
        stage.log().matches("DHCPDISCOVER(eth0)").count(),
        sought,
        "the lease was renewed, not sought anew: {}",
        stage.log()
    );
}
