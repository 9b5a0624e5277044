//! Assigns partitions to nodes. Every node computes the same result from the same records.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::projection::store::{Capability, Cluster, Partition};

/// Returns the partitions that a node should run.
///
/// Each partition is assigned to one node that can run it. Owners keep theirs up to a fair share;
/// the rest go to the nodes with the fewest. So a node that joins gets its share from the others,
/// and if a node leaves, only its partitions move.
pub(super) fn share_of(node: Uuid, cluster: &Cluster) -> BTreeSet<Partition> {
    let mut nodes: Vec<_> =
        cluster.nodes.iter().filter(|node| !node.capabilities.is_empty()).collect();
    nodes.sort_by_key(|node| node.id);
    let mut open = Vec::new();
    for consumer in &cluster.consumers {
        for generation in &consumer.generations {
            let able = |capabilities: &[Capability]| {
                capabilities.iter().any(|capability| {
                    capability.consumer == consumer.name
                        && capability.version == generation.version
                        && !(capability.inline && generation.live)
                })
            };
            let able: Vec<Uuid> =
                nodes.iter().filter(|node| able(&node.capabilities)).map(|node| node.id).collect();
            if !able.is_empty() {
                for (partition, record) in consumer.partitions(generation) {
                    open.push((partition, record.owner, able.clone()));
                }
            }
        }
    }
    // Partitions that few nodes can run come first; the others can go elsewhere.
    open.sort_by(|(left, _, able), (right, _, others)| {
        able.len().cmp(&others.len()).then_with(|| left.cmp(right))
    });
    let fair = open.len().div_ceil(nodes.len().max(1));
    let mut loads: BTreeMap<Uuid, usize> = nodes.iter().map(|node| (node.id, 0)).collect();
    let mut share = BTreeSet::new();
    let mut give = |partition: Partition, to: Uuid, loads: &mut BTreeMap<Uuid, usize>| {
        *loads.entry(to).or_default() += 1;
        if to == node {
            share.insert(partition);
        }
    };
    let mut rest = Vec::new();
    for (partition, owner, able) in open {
        match owner.filter(|owner| able.contains(owner) && loads.get(owner) < Some(&fair)) {
            Some(owner) => give(partition, owner, &mut loads),
            None => rest.push((partition, able)),
        }
    }
    for (partition, able) in rest {
        let least = able.into_iter().min_by_key(|id| (loads.get(id).copied(), *id));
        if let Some(least) = least {
            give(partition, least, &mut loads);
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;
    use crate::names::ConsumerName;
    use crate::projection::store::{ConsumerRecord, GenerationRecord, NodeRecord, PartitionRecord};

    fn capability(name: &str) -> Capability {
        Capability { consumer: ConsumerName::new(name).unwrap(), version: 1, inline: false }
    }

    fn consumer(name: &str, partitions: u32) -> ConsumerRecord {
        let partitions = (0..partitions)
            .map(|number| PartitionRecord {
                number,
                position: Position::START,
                owner: None,
                failure: None,
                parked: 0,
                retry_requested: false,
            })
            .collect();
        let live = GenerationRecord { number: 1, version: 1, live: true, intact: true, partitions };
        let name = ConsumerName::new(name).unwrap();
        ConsumerRecord { name, paused: false, generations: vec![live] }
    }

    /// Assigns all partitions. Returns the number that each node has, and the number that moved.
    fn settle(cluster: &mut Cluster) -> (Vec<usize>, usize) {
        let shares: Vec<_> =
            cluster.nodes.iter().map(|node| (node.id, share_of(node.id, cluster))).collect();
        let mut moved = 0;
        for consumer in &mut cluster.consumers {
            let name = consumer.name.clone();
            for generation in &mut consumer.generations {
                for record in &mut generation.partitions {
                    let partition = Partition {
                        consumer: name.clone(),
                        generation: generation.number,
                        number: record.number,
                    };
                    let owners: Vec<_> = shares
                        .iter()
                        .filter(|(_, share)| share.contains(&partition))
                        .map(|(id, _)| *id)
                        .collect();
                    assert_eq!(owners.len(), 1, "{partition} is assigned to one node");
                    moved += usize::from(record.owner.is_some_and(|owner| owners != [owner]));
                    record.owner = Some(owners[0]);
                }
            }
        }
        (shares.iter().map(|(_, share)| share.len()).collect(), moved)
    }

    #[test]
    fn partitions_are_spread_over_two_nodes_and_move_to_a_third() {
        let names: Vec<_> = (0..10).map(|n| format!("p{n}")).collect();
        let capabilities: Vec<_> = names.iter().map(|name| capability(name)).collect();
        let node =
            |id: u128| NodeRecord { id: Uuid::from_u128(id), capabilities: capabilities.clone() };
        let mut cluster = Cluster {
            nodes: vec![node(1), node(2)],
            consumers: names.iter().map(|name| consumer(name, 1)).collect(),
        };
        assert_eq!(settle(&mut cluster), (vec![5, 5], 0));
        assert_eq!(settle(&mut cluster), (vec![5, 5], 0));
        cluster.nodes.push(node(3));
        let (shares, moved) = settle(&mut cluster);
        assert_eq!((shares, moved), (vec![4, 4, 2], 2));
        cluster.nodes.remove(0);
        let (shares, _) = settle(&mut cluster);
        assert_eq!(shares, [5, 5]);
    }

    #[test]
    fn every_partition_is_assigned_to_a_node_that_can_run_it() {
        let node = |id: u128, capabilities: &[&str]| NodeRecord {
            id: Uuid::from_u128(id),
            capabilities: capabilities.iter().map(|name| capability(name)).collect(),
        };
        let mut cluster = Cluster {
            nodes: vec![node(1, &["a"]), node(2, &["a", "b"]), node(3, &[])],
            consumers: vec![consumer("a", 4), consumer("b", 4), consumer("c", 4)],
        };
        cluster.consumers.pop();
        let (shares, _) = settle(&mut cluster);
        assert_eq!(shares, [4, 4, 0]);
    }

    #[test]
    fn another_version_and_an_inline_live_generation_are_not_assigned() {
        let old = Capability { version: 2, ..capability("a") };
        let inline = Capability { inline: true, ..capability("a") };
        for capabilities in [vec![old], vec![inline]] {
            let node = NodeRecord { id: Uuid::from_u128(1), capabilities };
            let cluster = Cluster { nodes: vec![node], consumers: vec![consumer("a", 2)] };
            assert!(share_of(Uuid::from_u128(1), &cluster).is_empty());
        }
    }
}
