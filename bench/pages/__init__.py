"""Pages of docs/benchmarks: tables and plots from results, words from the Markdown files here."""
