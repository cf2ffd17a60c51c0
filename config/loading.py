"""Loading of a configuration file and the environment: the checked configuration, or all of its faults."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.environment import Overrides, Secrets, environment_place, override
from config.faults import ConfigurationError, Fault, FieldPath
from config.messages import sentence
from config.references import dangling_references
from config.resources import LISTS, Resources, read_resources
from config.settings import NumberingSettings, Settings
from config.sounds import missing_sounds
from config.yaml import Document
from engine.transport.certificate_names import fits
from engine.transport.certificates import CertificateFiles, ServerTls, read_certificates
from engine.transport.client_contexts import fault_of_files
from engine.transport.listeners import parse_listen_url
from flows.language.model import Flow
from flows.queues.declared import DeclaredAgent, DeclaredConference, DeclaredQueue
from routing.addresses import parse_network
from routing.directory.trunk import request_transport
from routing.models.extension import DeclaredExtension
from routing.models.number import Number
from routing.models.provider import Provider
from routing.models.route import Route
from routing.models.sentences import fields_at
from routing.numbers.short_numbers import emergency_name
from routing.settings import RoutingSettings

# Fields whose values no message repeats, even where they stand in the file itself.
_SECRET_FIELDS = frozenset({"password", "admin_key", "redis"})

PythonFlows = Callable[[str, Path], Collection[str]]
"""Names of the flows that a Python module registers, given the module and the directory of the configuration file.
Raises ImportError or ValueError with a sentence where there are none to be had."""


@dataclass(slots=True, kw_only=True)
class Configuration:
    """A configuration that is in order.

    `warnings` are lines about what is legal and probably not meant, `notices` lines about settings that this version
    accepts and does not act upon, `missing` lines about sound files that are not there.
    """

    path: Path
    settings: Settings
    resources: Resources
    warnings: list[str]
    notices: list[str]
    missing: list[str] = field(default_factory=list)

    def routing_settings(self) -> RoutingSettings:
        """The settings that routing is told."""
        sip = self.settings.sip
        return RoutingSettings(
            allow_guests=sip.allow_guests,
            logins=bool(self.extensions),
            trusted_networks=tuple(sip.trusted_networks),
            proxies=tuple(sip.proxies),
            nat=sip.nat,
            destination_networks=tuple(sip.destination_networks),
            realm=sip.realm,
            **self.settings.numbering.read_by(),
        )

    @property
    def deny_file(self) -> Path | None:
        """The file of addresses that are banned; None where there is none."""
        name = self.settings.sip.deny_file
        return self.path.absolute().parent / name if name else None

    @property
    def transports(self) -> list[str]:
        """The transports that the engine listens on."""
        return list(dict.fromkeys(parse_listen_url(url).transport for url in self.settings.sip.listen))

    @property
    def sip_tls(self) -> ServerTls | None:
        """What listeners with TLS are told; None where no certificate is given."""
        return _sip_tls(self.settings, self.path.absolute().parent)

    @property
    def api_tls(self) -> ServerTls | None:
        """What the API's listener shows; None where it speaks HTTP."""
        return _api_tls(self.settings, self.path.absolute().parent)

    @property
    def providers(self) -> list[Provider]:
        """Providers in the order of the file."""
        return self.resources.providers

    @property
    def routes(self) -> list[Route]:
        """Routes in the order of the file."""
        return self.resources.routes

    @property
    def numbers(self) -> list[Number]:
        """Numbers in the order of the file."""
        return self.resources.numbers

    @property
    def flows(self) -> list[Flow]:
        """Flows in the order of the file."""
        return self.resources.flows

    @property
    def extensions(self) -> list[DeclaredExtension]:
        """Extensions in the order of the file, those of `sip.users` after the list's."""
        return self.resources.extensions

    @property
    def agents(self) -> list[DeclaredAgent]:
        """Agents in the order of the file."""
        return self.resources.agents

    @property
    def queues(self) -> list[DeclaredQueue]:
        """Queues in the order of the file."""
        return self.resources.queues

    @property
    def conferences(self) -> list[DeclaredConference]:
        """Conferences in the order of the file."""
        return self.resources.conferences


def load(
    path: Path,
    environ: Mapping[str, str] | None = None,
    python_flows: PythonFlows | None = None,
    *,
    certificates: bool = False,
) -> Configuration:
    """Read, complete and check a configuration file. Raises ConfigurationError with every fault there is.

    `environ` is the process environment by default. `python_flows` is asked where the file names a `flows_module`.
    `certificates`: read those that listeners show as well; a reload does that by itself.
    """
    environ = os.environ if environ is None else environ
    document = Document.read(path)
    if document.data is None:  # nothing, comments, ---, null: more likely cut off by accident than meant
        problem = "the file is empty; write sections into it, such as sip: and numbers:, or {} for the defaults alone"
        raise ConfigurationError([Fault(f"{document.name}:1", (), problem, 1)])
    if not isinstance(document.data, dict):
        problem = "the file must be a mapping; begin it with a section such as sip: or numbers:"
        raise ConfigurationError([Fault(f"{document.name}:1", (), problem, 1)])
    # A section whose lines are all comments is there and empty: it means the defaults.
    data = {key: value for key, value in document.data.items() if value is not None}
    overrides = override(data, environ, Settings, LISTS)
    secrets = Secrets()
    # In a flow, and in what a queue announces, `${name}` is a variable of the call. What comes from an override is
    # taken as it is.
    for key in data.keys() - {"flows", "queues"}:
        data[key] = secrets.expand(data[key], (key,), environ, overrides.names)

    faults = _Faults(document, data, overrides, secrets)
    settings = _settings(data, faults)
    if settings:
        _check_files(settings, path.absolute().parent, faults)
    names = _python_flow_names(settings, path.parent, python_flows, faults) if settings else ()
    resources = read_resources(
        {key: data.get(key, []) for key in LISTS},
        faults.add,
        numbering=_numbering(data),
        python_flows=names,
        users=settings.sip.users if settings else (),
    )
    for provider in resources.providers:
        provider.tls = provider.tls.beside(path.absolute().parent)
    warnings = list(resources.warnings)
    if settings is not None:
        if certificates:
            warnings += _check_certificates(settings, path.absolute().parent, faults)
            warnings += _check_trunk_files(settings, resources.providers)
        warnings += _trusted_edges(settings)
    if settings is None or faults.found:
        raise ConfigurationError(sorted(faults.found, key=lambda fault: fault.line))
    warnings += _unnamed(settings, resources.providers, path.absolute().parent)
    configuration = Configuration(path=path, settings=settings, resources=resources, warnings=[], notices=[])
    warnings += _emergency_names(configuration)
    configuration.warnings += [faults.line(place, f"warning: {problem}") for place, problem in warnings]
    without_effect = (*_out_of_reach(configuration), *dangling_references(resources))
    configuration.notices += [faults.line(place, f"note: {problem}") for place, problem in without_effect]
    absent = missing_sounds(configuration.flows, configuration.queues, settings.media, path.absolute().parent)
    configuration.missing += [faults.line(place, problem) for place, problem in absent]
    return configuration


class _Faults:
    """Collects faults, each with its place and without secrets."""

    def __init__(self, document: Document, data: dict[str, Any], overrides: Overrides, secrets: Secrets) -> None:
        self._document = document
        self._data = data
        self._overrides = overrides
        self._secrets = secrets
        self.found = overrides.faults + [self._fault(path, problem) for path, problem in secrets.faults]
        self._incomplete = {path for path, _ in secrets.faults}

    def add(self, path: FieldPath, problem: str) -> None:
        # What else is wrong with a text that lacks its secret comes of that.
        if path not in self._incomplete:
            self.found.append(self._fault(path, problem))

    def line(self, path: FieldPath, problem: str) -> str:
        return str(self._fault(path, problem))

    def _fault(self, path: FieldPath, problem: str) -> Fault:
        problem = self._secrets.hide(problem, path)
        if _SECRET_FIELDS.intersection(path) and (value := str(self._value(path))):
            problem = problem.replace(value, "(hidden)")
        if variable := self._overrides.variable(path):
            return Fault(environment_place(variable), path, problem)
        return Fault(self._document.place(path), path, problem, self._document.line(path))

    def _value(self, path: FieldPath) -> Any:
        value: Any = self._data
        for key in path:
            try:
                value = value[key]
            except (KeyError, IndexError, TypeError):
                return ""
        return value


def _settings(data: Mapping[str, Any], faults: _Faults) -> Settings | None:
    try:
        settings = {key: value for key, value in data.items() if key not in LISTS}
        return Settings.model_validate(settings, context={"numbering": _numbering(data)})
    except ValidationError as error:
        for details in error.errors():
            location = details["loc"]
            known = fields_at(Settings, location) + (list(LISTS) if len(location) == 1 else [])
            faults.add(location, sentence(details, known))
    return None


def _numbering(data: Mapping[str, Any]) -> RoutingSettings | None:
    """How the numbers of the file are read; None where it says so wrongly."""
    try:
        numbering = NumberingSettings.model_validate(data.get("numbering", {}))
    except ValidationError:
        return None
    return RoutingSettings(**numbering.read_by())


def _check_files(settings: Settings, beside: Path, faults: _Faults) -> None:
    """What the settings say of files that has to be there."""
    if settings.sip.deny_file and not (beside / settings.sip.deny_file).is_file():
        problem = f"{settings.sip.deny_file!r} is no file; make it, empty to begin with, or correct its name"
        faults.add(("sip", "deny_file"), problem)
    if settings.sip.tls.client_certificates != "off" and not settings.sip.tls.client_ca:
        problem = "needs sip.tls.client_ca; write the file of the CAs that are trusted, or off"
        faults.add(("sip", "tls", "client_certificates"), problem)
    files = settings.api.tls
    if bool(files.certificate) != bool(files.key):
        missing = "key" if files.certificate else "certificate"
        problem = f"has no {missing}; write both, as in {{certificate: cert.pem, key: key.pem}}, or neither"
        faults.add(("api", "tls"), problem)


def _check_certificates(settings: Settings, beside: Path, faults: _Faults) -> Iterator[tuple[FieldPath, str]]:
    tls, api = _sip_tls(settings, beside), _api_tls(settings, beside)
    shown: list[tuple[FieldPath, ServerTls]] = []
    if tls is not None:
        for index, files in enumerate(tls.certificates):
            shown.append((("sip", "tls", "certificates", index), replace(tls, certificates=(files,))))
    if api is not None and settings.api.tls.key:
        shown.append((("api", "tls", "certificate"), api))
    now = datetime.now(UTC)
    for place, one in shown:
        found, problems = read_certificates(one, ())
        for problem in problems:
            faults.add(place, f"{problem}; correct the file or its name")
        for certificate in found:
            if certificate.not_after <= now:
                file = certificate.files.certificate
                yield place, f"{file} has expired on {certificate.not_after.date()}; put a new one there"


def _check_trunk_files(settings: Settings, providers: Sequence[Provider]) -> Iterator[tuple[FieldPath, str]]:
    for index, provider in enumerate(providers):
        terms = provider.tls_terms
        if terms is not None and (problem := fault_of_files(terms, settings.sip.tls.minimum)):
            yield ("providers", index, "tls"), f"{problem}; no call is sent there until that is mended"


def _sip_tls(settings: Settings, beside: Path) -> ServerTls | None:
    """What listeners with TLS are told; None where no certificate is given."""
    tls = settings.sip.tls
    if not tls.certificates:
        return None
    return ServerTls(
        certificates=tuple(CertificateFiles(beside / pair.certificate, beside / pair.key) for pair in tls.certificates),
        minimum=tls.minimum,
        client_ca=beside / tls.client_ca if tls.client_ca else None,
        client_certificates=tls.client_certificates,
    )


def _api_tls(settings: Settings, beside: Path) -> ServerTls | None:
    files = settings.api.tls
    if not files.certificate:
        return None
    return ServerTls(certificates=(CertificateFiles(beside / files.certificate, beside / files.key),))


def _python_flow_names(
    settings: Settings, directory: Path, python_flows: PythonFlows | None, faults: _Faults
) -> Collection[str]:
    if not settings.flows_module or python_flows is None:
        return ()
    try:
        return python_flows(settings.flows_module, directory)
    except (ImportError, ValueError) as error:
        faults.add(("flows_module",), f"{error}; correct the module or its name")
    return ()


def _trusted_edges(settings: Settings) -> Iterator[tuple[FieldPath, str]]:
    trusted = [parse_network(network) for network in settings.sip.trusted_networks]
    for index, proxy in enumerate(settings.sip.proxies):
        edge = parse_network(proxy)
        within = [network for network in trusted if network.version == edge.version and network.overlaps(edge)]
        if within:
            problem = f"{proxy} is in sip.trusted_networks ({within[0]}) too: whoever calls through it may dial out"
            yield ("sip", "proxies", index), f"{problem}; take it out of there"


def _emergency_names(configuration: Configuration) -> Iterator[tuple[FieldPath, str]]:
    """Extensions that nobody reaches by dialling their name, since that is an emergency call."""
    terms = configuration.routing_settings()
    extensions = configuration.resources.extensions
    listed = len(extensions) - len(configuration.settings.sip.users)
    for index, extension in enumerate(extensions):
        if problem := emergency_name(extension.name, terms):
            older = ("sip", "users", index - listed, "username")
            place = ("extensions", index, "name") if index < listed else older
            yield place, problem


def _unnamed(settings: Settings, providers: list[Provider], beside: Path) -> Iterator[tuple[FieldPath, str]]:
    """Names that trunks over TLS are shown in place of our address, and that no certificate of ours has."""
    pairs = [CertificateFiles(beside / pair.certificate, beside / pair.key) for pair in settings.sip.tls.certificates]
    own, faults = read_certificates(ServerTls(certificates=tuple(pairs)), ())
    for index, provider in enumerate(providers):
        host = provider.contact_host.partition(":")[0]
        if not host or not own or faults or request_transport(provider) != "tls":
            continue
        if not any(fits(names, host, True) for each in own for names in (each.names, each.names._replace(uris=()))):
            names = "; ".join(each.names.shown for each in own)
            yield ("providers", index, "contact_host"), f"{host} is no name of a certificate of ours ({names})"


def _out_of_reach(configuration: Configuration) -> Iterator[tuple[FieldPath, str]]:
    listened = configuration.transports
    for index, provider in enumerate(configuration.providers):
        transport = request_transport(provider)
        if transport and transport not in listened:
            problem = f"there is no {transport}:// under sip.listen, so no call is sent there; add a listener"
            yield ("providers", index, "transport"), problem
