"""`trunkline check`: whether a configuration, its flows and its sounds are in order."""

import sys

from config.faults import ConfigurationError
from config.logs import escape
from service.cli.support.options import DEFAULT_CONFIG, ConfigFile
from service.cli.support.running import DONE, FAILED, show_faults

POSITION = 2


def check(config: ConfigFile = DEFAULT_CONFIG) -> int:
    """Validate the configuration and every flow in it, and see that its sounds are there."""
    from config.loading import load
    from config.resources import LISTS
    from service.file_modes import loose
    from service.python_flows import python_flow_names

    try:
        configuration = load(config, python_flows=python_flow_names, certificates=True)
    except ConfigurationError as error:
        show_faults(error)
        return FAILED
    keys = [config.absolute().parent / pair.key for pair in configuration.settings.sip.tls.certificates]
    open_keys = [f"warning: {path} can be read by others; {mended}" for path, _, mended in loose(keys, group=False)]
    for line in (*configuration.warnings, *open_keys, *configuration.notices):
        print(escape(line), file=sys.stderr)
    for line in configuration.missing:
        print(escape(line), file=sys.stderr)
    if configuration.missing:
        return FAILED
    always = ("providers", "routes", "numbers", "flows")
    counts = [(getattr(configuration, kind), kind) for kind in always]
    counts += [(found, kind) for kind in LISTS if kind not in always and (found := getattr(configuration, kind))]
    summary = ", ".join(f"{len(found)} {kind[:-1] if len(found) == 1 else kind}" for found, kind in counts)
    print(f"{config} is in order: {summary}")
    return DONE
