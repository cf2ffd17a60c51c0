"""How a provider shows who it is over TLS, and how we do: `providers[].tls`."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from engine.sip.flow import TlsTerms
from routing.hostnames import parse_host_port
from routing.models.fields import Text, checked, refusal

_NAME = r"^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?[.])*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
"""As the API's document says what a name is; what is taken says `parse_host_port`."""


class ProviderTls(BaseModel):
    """TLS toward one provider. Files are those of the machine that the engine runs on."""

    model_config = ConfigDict(extra="forbid")

    verify: StrictBool = True
    """Whether its certificate has to be of a trusted CA and to have its name (RFC 5922)."""
    ca: Text = ""
    """A file of the CAs that are trusted for it; "": the machine's."""
    certificate: Text = ""
    """A file with the certificate that it is shown where it asks for one, and the chain; "": none."""
    key: Text = ""
    """The file of that one's key."""
    names: list[Annotated[str, Field(json_schema_extra={"pattern": _NAME, "maxLength": 63})]] = Field(
        default=[], max_length=16
    )
    """What its certificate may name in place of the host of `hostname`."""
    allow_wildcards: StrictBool = False
    """Whether `*.` in its certificate stands for one label; RFC 5922 has no wildcards."""

    @field_validator("names")
    @classmethod
    def _hosts(cls, names: list[str]) -> list[str]:
        for name in names:
            where = checked("INVALID_REQUEST_PARAMETER", lambda text=name: parse_host_port(text))  # type: ignore[misc]
            if where.port is not None:
                problem = f"{name!r} has a port; write the name alone, as it stands in the certificate"
                raise refusal("INVALID_REQUEST_PARAMETER", problem)
        return names

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            missing = "key" if self.certificate else "certificate"
            raise refusal("INVALID_REQUEST_PARAMETER", f"has no {missing}; write both files, or neither")
        return self

    def beside(self, folder: Path) -> Self:
        """The same, with relative paths counted from a folder."""
        files = {name: getattr(self, name) for name in ("ca", "certificate", "key")}
        return self.model_copy(update={name: str(folder / path) for name, path in files.items() if path})

    @property
    def terms(self) -> TlsTerms | None:
        """As the engine is told; None where nothing is said."""
        if self.verify and not (self.ca or self.certificate or self.names or self.allow_wildcards):
            return None  # asked for each call
        return TlsTerms(
            verify=self.verify,
            ca=self.ca,
            certificate=self.certificate,
            key=self.key,
            names=tuple(self.names),
            allow_wildcards=self.allow_wildcards,
        )
