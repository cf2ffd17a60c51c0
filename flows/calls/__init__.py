"""Call control without a language: services, records, dialling, hangup."""
