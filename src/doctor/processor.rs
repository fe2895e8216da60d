//! The processor: the workers' cores, what else runs on them, and at what speed.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::system::{System, core_list};

const CPU: &str = "sys/devices/system/cpu";

pub(super) fn examine(system: &System, cores: &[u16]) -> Vec<Finding> {
    let mut findings = vec![online(system, cores)];
    findings.push(isolated(system, cores));
    findings.extend(siblings(system, cores));
    findings.push(governor(system, cores));
    findings.extend(idle_states(system, cores));
    findings.push(interrupts(system, cores));
    findings
}

/// The cores as text, shortened after eight.
fn list(cores: &[u16]) -> String {
    let shown: Vec<String> = cores.iter().take(8).map(ToString::to_string).collect();
    let more = if cores.len() > 8 { format!(" and {} more", cores.len() - 8) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

fn online(system: &System, cores: &[u16]) -> Finding {
    let online = core_list(&system.text(&format!("{CPU}/online")).unwrap_or_default());
    let found = format!("{} of {} online: {}", cores.len(), online.len(), list(cores));
    let missing: Vec<u16> = cores.iter().copied().filter(|core| !online.contains(core)).collect();
    if missing.is_empty() {
        Finding::ok("workers' cores", found)
    } else {
        let found = format!("core {} is offline", list(&missing));
        Finding::error("workers' cores", found, format!("echo 1 > /{CPU}/cpu{}/online, or other --cores", missing[0]))
    }
}

/// Checks whether the workers' cores are isolated. If every core has a worker, other programs have nowhere else to run.
fn isolated(system: &System, cores: &[u16]) -> Finding {
    let online = core_list(&system.text(&format!("{CPU}/online")).unwrap_or_default());
    let isolated = core_list(&system.text(&format!("{CPU}/isolated")).unwrap_or_default());
    let shared: Vec<u16> = cores.iter().copied().filter(|core| !isolated.contains(core)).collect();
    if shared.is_empty() {
        return Finding::ok("isolation", "every worker's core is isolated");
    }
    if cores.len() >= online.len() {
        return Finding::ok("isolation", "none: every core has a worker");
    }
    let found = format!("core {} also runs other programs", list(&shared));
    Finding::warning("isolation", found, "tuning/cpu.sh apply prints the kernel command line for it (needs a reboot)")
}

/// Checks that no two workers run on the two threads of one physical core, where they would share its execution units.
fn siblings(system: &System, cores: &[u16]) -> Option<Finding> {
    let mut by_group: BTreeMap<Vec<u16>, Vec<u16>> = BTreeMap::new();
    for &core in cores {
        let group = core_list(&system.text(&format!("{CPU}/cpu{core}/topology/thread_siblings_list"))?);
        by_group.entry(group).or_default().push(core);
    }
    let shared: Vec<u16> = by_group.into_values().filter(|workers| workers.len() > 1).flatten().collect();
    Some(if shared.is_empty() {
        Finding::ok("hyper-threads", "one worker on each physical core")
    } else {
        Finding::warning(
            "hyper-threads",
            format!("core {} share physical cores", list(&shared)),
            "give --cores one thread of each physical core, unless a measurement shows that both carry more",
        )
    })
}

fn governor(system: &System, cores: &[u16]) -> Finding {
    let governors: Vec<(u16, String)> = cores
        .iter()
        .filter_map(|&core| Some((core, system.text(&format!("{CPU}/cpu{core}/cpufreq/scaling_governor"))?)))
        .collect();
    if governors.is_empty() {
        return Finding::ok("governor", "not ours: firmware or the virtual machine's host decides");
    }
    let slow: Vec<u16> =
        governors.iter().filter(|(_, governor)| governor != "performance").map(|(core, _)| *core).collect();
    if slow.is_empty() {
        return Finding::ok("governor", "performance");
    }
    let found = format!(
        "{} on core {}",
        governors.iter().find(|(_, g)| g != "performance").map_or("", |(_, g)| g),
        list(&slow)
    );
    Finding::warning("governor", found, "tuning/cpu.sh apply (sets `performance` until the next boot)")
}

/// Checks for idle states that take long to leave, because they delay the first packet after a pause.
fn idle_states(system: &System, cores: &[u16]) -> Option<Finding> {
    /// In microseconds. A packet's whole way through the node takes less time than this.
    const EXIT_LATENCY_MAX_US: u32 = 10;
    let core = cores.first()?;
    let states = system.names(&format!("{CPU}/cpu{core}/cpuidle"));
    let slow: Vec<String> = states
        .iter()
        .filter_map(|state| {
            let value = |name: &str| system.value::<u32>(&format!("{CPU}/cpu{core}/cpuidle/{state}/{name}"));
            let deep = value("latency")? > EXIT_LATENCY_MAX_US && value("disable")? == 0;
            let name = || system.text(&format!("{CPU}/cpu{core}/cpuidle/{state}/name"));
            deep.then(|| name().unwrap_or_else(|| state.clone()))
        })
        .collect();
    if states.is_empty() {
        return None;
    }
    Some(if slow.is_empty() {
        Finding::ok("idle states", format!("none in use takes more than {EXIT_LATENCY_MAX_US} µs to leave"))
    } else {
        let found = format!("{} take more than {EXIT_LATENCY_MAX_US} µs to leave", slow.join(", "));
        Finding::warning("idle states", found, "tuning/cpu.sh apply, where latency matters more than power")
    })
}

/// Checks for interrupts that only workers' cores may serve and have served, because they stop a worker in the middle
/// of a round. Those of a network card are left out: they belong there, because the packets of its queue are for that
/// worker.
fn interrupts(system: &System, cores: &[u16]) -> Finding {
    let own = network_interrupts(system);
    let table = system.text("proc/interrupts").unwrap_or_default();
    let colliding: Vec<String> = parse_interrupts(&table)
        .into_iter()
        .filter(|interrupt| interrupt.count > 0 && !own.contains(&interrupt.number))
        .filter(|interrupt| {
            let place = |file: &str| system.text(&format!("proc/irq/{}/{file}", interrupt.number));
            let allowed = core_list(&place("smp_affinity_list").unwrap_or_default());
            !allowed.is_empty() && allowed.iter().all(|core| cores.contains(core))
        })
        .map(|interrupt| format!("{} ({})", interrupt.number, interrupt.name))
        .collect();
    let online = core_list(&system.text(&format!("{CPU}/online")).unwrap_or_default());
    if colliding.is_empty() {
        return Finding::ok("interrupts", "none of other devices is bound to workers' cores");
    }
    let shown = colliding.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
    let more = if colliding.len() > 4 { format!(" and {} more", colliding.len() - 4) } else { String::new() };
    let found = format!("{shown}{more} can only be served by workers' cores");
    if online.iter().all(|core| cores.contains(core)) {
        return Finding::ok("interrupts", format!("{} of other devices, and every core has a worker", colliding.len()));
    }
    Finding::warning("interrupts", found, "echo a core without a worker into /proc/irq/NUMBER/smp_affinity_list")
}

/// The interrupt numbers of all network cards. Those of a virtio card belong to the PCI device above it.
fn network_interrupts(system: &System) -> Vec<u32> {
    let mut numbers = Vec::new();
    for interface in system.names("sys/class/net") {
        for place in ["device/msi_irqs", "device/../msi_irqs"] {
            let names = system.names(&format!("sys/class/net/{interface}/{place}"));
            numbers.extend(names.iter().filter_map(|name| name.parse::<u32>().ok()));
        }
    }
    numbers
}

/// One line of `/proc/interrupts`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Interrupt {
    number: u32,
    /// How often all cores together have served it since boot.
    count: u64,
    /// The last word of the line: device and queue.
    name: String,
}

/// Parses the numbered lines. The architecture's own interrupts (`LOC`, `NMI`, …) have no affinity.
fn parse_interrupts(table: &str) -> Vec<Interrupt> {
    let columns = table.lines().next().map_or(0, |head| head.split_whitespace().count());
    let line = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        let mut words = rest.split_whitespace();
        let count = words.by_ref().take(columns).map(|word| word.parse::<u64>().unwrap_or(0)).sum();
        Some(Interrupt { number: number.trim().parse().ok()?, count, name: words.last().unwrap_or("").to_owned() })
    };
    table.lines().skip(1).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level::{Error, Ok as Fine, Warning};
    use super::*;

    /// A host of files.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let system = System::at(root.path());
        (root, system)
    }

    #[test]
    fn interrupt_lines_give_number_sum_and_name() {
        let table = "           CPU0       CPU1\n 36:          2     519388 PCI-MSIX-0000:00:02.0   1-edge      \
                     virtio1-req.0\nNMI:          0          0   Non-maskable interrupts\nERR:          0\n  9: 1 0  \
                     IO-APIC   9-fasteoi   acpi\n";
        let expected = |number, count, name: &str| Interrupt { number, count, name: name.to_owned() };
        assert_eq!(parse_interrupts(table), [expected(36, 519_390, "virtio1-req.0"), expected(9, 1, "acpi")]);
        assert_eq!(parse_interrupts(""), []);
    }

    #[test]
    fn a_disk_interrupt_on_a_worker_core_is_reported_a_network_one_is_not() {
        let table =
            "  CPU0 CPU1 CPU2\n 7: 0 5 0 PCI 1-edge disk\n 8: 0 5 0 PCI 1-edge eth0-rx-0\n 9: 5 0 0 PCI 1-edge usb\n";
        let files = [
            ("proc/interrupts", table),
            ("proc/irq/7/smp_affinity_list", "1\n"),
            ("proc/irq/8/smp_affinity_list", "1\n"),
            ("proc/irq/9/smp_affinity_list", "0-2\n"),
            ("sys/class/net/eth0/device/msi_irqs/8", "msix\n"),
            ("sys/devices/system/cpu/online", "0-2\n"),
        ];
        let (_root, system) = host(&files);
        let finding = interrupts(&system, &[1, 2]);
        assert_eq!((finding.level, finding.found.as_str()), (Warning, "7 (disk) can only be served by workers' cores"));
        assert_eq!(interrupts(&system, &[2]).level, Fine);
        assert_eq!(interrupts(&system, &[0, 1, 2]).level, Fine, "there is no other core to move it to");
    }

    #[test]
    fn cores_are_judged_by_being_online_isolated_and_physical() {
        let files = [
            ("sys/devices/system/cpu/online", "0-3"),
            ("sys/devices/system/cpu/isolated", "2-3\n"),
            ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "0-1"),
            ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2-3"),
            ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "2-3"),
        ];
        let (_root, system) = host(&files);
        assert_eq!(online(&system, &[3, 4]).level, Error);
        assert_eq!(isolated(&system, &[2, 3]).level, Fine);
        assert_eq!(isolated(&system, &[1, 2]).level, Warning);
        assert_eq!(isolated(&system, &[0, 1, 2, 3]).level, Fine);
        assert_eq!(siblings(&system, &[1, 2]).unwrap().level, Fine);
        assert_eq!(siblings(&system, &[2, 3]).unwrap().level, Warning);
        assert_eq!(siblings(&system, &[0]), None, "this host does not tell");
    }

    #[test]
    fn the_governor_and_deep_idle_states_are_told() {
        let files = [
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "2"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "133"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "0"),
            ("sys/devices/system/cpu/cpu0/cpuidle/state2/name", "C6"),
        ];
        let (root, system) = host(&files);
        assert_eq!(governor(&system, &[0]).level, Fine);
        assert_eq!(governor(&system, &[0, 1]).found, "powersave on core 1");
        assert_eq!(idle_states(&system, &[0]).unwrap().found, "C6 take more than 10 µs to leave");
        std::fs::write(root.path().join(files[5].0), "1").unwrap();
        assert_eq!(idle_states(&system, &[0]).unwrap().level, Fine);
        assert_eq!(idle_states(&system, &[1]), None);
    }
}
