//! What the example programs share: how they read the command line and how they end.
