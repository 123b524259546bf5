//! Graphs: operations with dependencies, launched as one.

use std::sync::Arc;

use super::abi::Handle;
use super::capture::sinks;
use super::clock::Mark;
use super::code::{CUresult, Outcome};
use super::operation::Work;
use super::state::Driver;

/// An operation of a graph, and the earlier nodes that it follows.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) work: Work,
    pub(crate) after: Vec<usize>,
    /// Whether its host memory was pinned when it was captured; then it has to be so at each launch.
    pub(crate) pinned: bool,
}

/// A graph.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) device: usize,
    pub(crate) nodes: Arc<[Node]>,
}

/// A graph that can be launched.
#[derive(Debug)]
pub(crate) struct Executable {
    pub(crate) device: usize,
    nodes: Arc<[Node]>,
    /// By node: its branch. Nodes of a branch follow each other; the first branch goes on where the stream is.
    branches: Arc<[usize]>,
    /// Chains of the branches from the second on.
    chains: Vec<u32>,
    /// Ends of the last launch: the next one comes after them, on whatever stream.
    tail: Vec<Mark>,
}

/// Splits a graph into branches: a node goes on with the branch of a node that it follows, if none did before.
fn branches(nodes: &[Node]) -> (Arc<[usize]>, usize) {
    let mut ends: Vec<Option<usize>> = vec![None];
    let mut branches: Vec<usize> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let free = node.after.iter().map(|before| (branches[*before], *before));
        let next = if node.after.is_empty() && ends[0].is_none() { Some(0) } else { None };
        let branch = next.or(free.filter(|(branch, before)| ends[*branch] == Some(*before)).map(|(b, _)| b).next());
        let branch = branch.unwrap_or_else(|| {
            ends.push(None);
            ends.len() - 1
        });
        ends[branch] = Some(index);
        branches.push(branch);
    }
    (branches.into(), ends.len())
}

impl Driver {
    pub(crate) fn instantiate(&mut self, graph: Handle, flags: u64) -> Outcome<Handle> {
        let device = self.usable()?;
        let graph = self.graphs.get(&graph).ok_or(CUresult::INVALID_HANDLE)?;
        // Free memory of the graph on relaunch (1), use node priorities (8): neither makes a difference here.
        if flags & !(1 | 8) != 0 || graph.device != device {
            return Err(CUresult::INVALID_VALUE);
        }
        if let Some(code) = self.injection.strike("instantiate", CUresult::OUT_OF_MEMORY) {
            return Err(code);
        }
        let nodes = graph.nodes.clone();
        let (branches, count) = branches(&nodes);
        let chains = (1..count).map(|_| self.ordering.open_chain()).collect();
        let handle = self.new_handle();
        self.executables.insert(handle, Executable { device, nodes, branches, chains, tail: Vec::new() });
        Ok(handle)
    }

    pub(crate) fn upload_graph(&mut self, executable: Handle, stream: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        self.health(self.streams[&stream].device)?;
        self.executables.get(&executable).map(drop).ok_or(CUresult::INVALID_HANDLE)
    }

    pub(crate) fn launch_graph(&mut self, handle: Handle, stream: Handle) -> Outcome {
        let stream = self.stream(stream)?;
        let device = self.streams[&stream].device;
        self.health(device)?;
        let executable = self.executables.get(&handle).ok_or(CUresult::INVALID_HANDLE)?;
        if executable.device != device {
            return Err(CUresult::INVALID_VALUE);
        }
        let (nodes, branches) = (executable.nodes.clone(), executable.branches.clone());
        if self.streams[&stream].capture.is_some() {
            return self.add_nodes(stream, &nodes);
        }
        self.forbid_implicit_dependency(stream)?;
        let mut injected = self.injection.strike("graph", CUresult::LAUNCH_FAILED);
        let mut chains = vec![self.streams[&stream].chain];
        chains.extend(&self.executables[&handle].chains);
        let mut before = self.predecessors(stream);
        before.extend(self.executables[&handle].tail.iter().cloned());
        self.check_pinned(device, &nodes)?;
        self.graph_launches += 1;
        let launch = Some(self.graph_launches);
        let mut marks: Vec<Mark> = Vec::with_capacity(nodes.len());
        for (node, branch) in nodes.iter().zip(branches.iter()) {
            let after: Vec<_> = node.after.iter().map(|index| marks[*index].clone()).collect();
            let after = if after.is_empty() { &before } else { &after };
            let place = (device, stream, chains[*branch]);
            marks.push(self.enqueue(place, node.work.clone(), after, launch, injected.take()));
        }
        if !marks.is_empty() {
            let tail: Vec<_> = sinks(&nodes).into_iter().map(|index| marks[index].clone()).collect();
            if let Some(executable) = self.executables.get_mut(&handle) {
                executable.tail = tail.clone();
            }
            self.set_tail(stream, tail);
        }
        Ok(())
    }

    /// A graph whose pinned memory is gone would write to whoever has that memory now.
    fn check_pinned(&mut self, device: usize, nodes: &[Node]) -> Outcome {
        let places = nodes.iter().filter(|node| node.pinned).filter_map(|node| node.work.host_memory());
        let gone = places.map(|(at, ..)| at).find(|at| self.pinned_at(*at).is_none());
        if let Some(at) = gone {
            let text = format!("cuGraphLaunch: the graph copies from or to {at:#x}, pinned memory that was freed");
            self.break_context(device, text, None, CUresult::ILLEGAL_ADDRESS);
        }
        self.health(device)
    }

    pub(crate) fn destroy_graph(&mut self, handle: Handle) -> Outcome {
        match self.graphs.remove(&handle) {
            Some(graph) => self.health(graph.device),
            None => {
                let text = format!("cuGraphDestroy: {handle:#x} is no graph, or was destroyed before");
                Err(self.refuse(text, CUresult::INVALID_HANDLE))
            }
        }
    }

    pub(crate) fn destroy_executable(&mut self, handle: Handle) -> Outcome {
        match self.drop_executable(handle) {
            Some(device) => self.health(device),
            None => {
                let text = format!("cuGraphExecDestroy: {handle:#x} is no executable graph, or was destroyed before");
                Err(self.refuse(text, CUresult::INVALID_HANDLE))
            }
        }
    }

    pub(crate) fn drop_executable(&mut self, handle: Handle) -> Option<usize> {
        let executable = self.executables.remove(&handle)?;
        executable.chains.into_iter().for_each(|chain| self.ordering.close_chain(chain));
        Some(executable.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(after: &[usize]) -> Node {
        Node { work: Work::Wait, after: after.to_vec(), pinned: false }
    }

    #[test]
    fn a_fork_makes_a_branch_and_a_join_goes_on_with_one() {
        let nodes = [node(&[]), node(&[0]), node(&[0]), node(&[1, 2]), node(&[])];
        let (branches, count) = branches(&nodes);
        assert_eq!((&*branches, count), (&[0, 0, 1, 0, 2][..], 3));
        assert_eq!(sinks(&nodes), [3, 4]);
    }
}
