"""The coordination service's tree in one JetStream stream: a node is the last message of a subject."""
