"""Linear heads: convex problems, solved to convergence."""
