"""The plugins that ship with genophen, written against its public names alone."""
