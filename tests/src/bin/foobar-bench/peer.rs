//! xdp-filter of Debian's xdp-tools, as the yardstick F: all features, policy allow, one entry a table, none of which
//! matches.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{PerCpuArray, PerCpuHashMap, PerCpuValues},
    programs::{ProgramFd, Xdp},
    util::nr_cpus,
};

const OBJECT: &str = "/usr/lib/x86_64-linux-gnu/bpf/xdpfilt_alw_all.o";
/// Source, destination, TCP and UDP: xdp-filter's own flags.
const ALL: u64 = 0xf;

pub struct XdpFilter {
    ebpf: Ebpf,
    pins: std::path::PathBuf,
}

impl XdpFilter {
    pub fn load() -> Result<Self> {
        anyhow::ensure!(
            Path::new(OBJECT).exists(),
            "{OBJECT} is missing: install Debian's xdp-tools (cargo xtask bench does)"
        );
        let pins = Path::new("/sys/fs/bpf").join(format!("foobar-bench-peer-{}", std::process::id()));
        fs::create_dir(&pins).with_context(|| format!("making {}", pins.display()))?;
        let ebpf = EbpfLoader::new().default_map_pin_directory(&pins).load_file(OBJECT).context("loading xdp-filter");
        let mut filter = match ebpf {
            Ok(ebpf) => Self { ebpf, pins },
            Err(error) => {
                let _ = fs::remove_dir_all(&pins);
                return Err(error);
            }
        };
        filter.xdp()?.load().context("the kernel refused xdp-filter")?;
        filter.fill()?;
        Ok(filter)
    }

    pub fn program(&mut self) -> Result<ProgramFd> {
        Ok(self.xdp()?.fd()?.try_clone()?)
    }

    fn xdp(&mut self) -> Result<&mut Xdp> {
        let (_, program) = self.ebpf.programs_mut().next().context("xdp-filter has no program")?;
        Ok(program.try_into()?)
    }

    /// One entry a table.
    fn fill(&mut self) -> Result<()> {
        let flags = || -> Result<PerCpuValues<u64>> {
            let cpus = nr_cpus().map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))?;
            Ok(PerCpuValues::try_from(vec![ALL; cpus])?)
        };
        let mut map = |name: &str| self.ebpf.take_map(name).with_context(|| format!("xdp-filter has no map {name}"));
        PerCpuArray::<_, u64>::try_from(map("filter_ports")?)?.set(u32::from(9u16.to_be()), flags()?, 0)?;
        PerCpuHashMap::<_, [u8; 4], u64>::try_from(map("filter_ipv4")?)?.insert([203, 0, 113, 1], flags()?, 0)?;
        let mut v6 = [0; 16];
        v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        PerCpuHashMap::<_, [u8; 16], u64>::try_from(map("filter_ipv6")?)?.insert(v6, flags()?, 0)?;
        PerCpuHashMap::<_, [u8; 6], u64>::try_from(map("filter_ethernet")?)?.insert([2, 0, 0, 0, 9, 9], flags()?, 0)?;
        Ok(())
    }
}

impl Drop for XdpFilter {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pins);
    }
}
