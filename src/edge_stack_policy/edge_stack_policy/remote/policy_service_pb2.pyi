from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Array(_message.Message):
    __slots__ = ["data", "shape", "type"]
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    DATA_FIELD_NUMBER: _ClassVar[int]
    FLOAT32: Array.Type
    FLOAT64: Array.Type
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN: Array.Type
    data: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    type: Array.Type
    def __init__(self, type: _Optional[_Union[Array.Type, str]] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ["actions", "problem", "sequence", "timing"]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    actions: Array
    problem: str
    sequence: int
    timing: Timing
    def __init__(self, sequence: _Optional[int] = ..., actions: _Optional[_Union[Array, _Mapping]] = ..., problem: _Optional[str] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ["data", "encoding", "height", "width"]
    class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    DATA_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    JPEG: Image.Encoding
    PNG: Image.Encoding
    RAW: Image.Encoding
    UNKNOWN: Image.Encoding
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    encoding: Image.Encoding
    height: int
    width: int
    def __init__(self, encoding: _Optional[_Union[Image.Encoding, str]] = ..., height: _Optional[int] = ..., width: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Metadata(_message.Message):
    __slots__ = ["action_names", "class_names", "contract_hash", "contract_json", "fingerprint", "guides_chunks", "horizon", "input_features", "observation_bytes_max", "policy", "step_s", "versions"]
    class VersionsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ACTION_NAMES_FIELD_NUMBER: _ClassVar[int]
    CLASS_NAMES_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_HASH_FIELD_NUMBER: _ClassVar[int]
    CONTRACT_JSON_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    GUIDES_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    INPUT_FEATURES_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    STEP_S_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    action_names: _containers.RepeatedScalarFieldContainer[str]
    class_names: _containers.RepeatedScalarFieldContainer[str]
    contract_hash: str
    contract_json: str
    fingerprint: str
    guides_chunks: bool
    horizon: int
    input_features: _containers.RepeatedScalarFieldContainer[str]
    observation_bytes_max: int
    policy: str
    step_s: float
    versions: _containers.ScalarMap[str, str]
    def __init__(self, policy: _Optional[str] = ..., input_features: _Optional[_Iterable[str]] = ..., action_names: _Optional[_Iterable[str]] = ..., step_s: _Optional[float] = ..., horizon: _Optional[int] = ..., guides_chunks: bool = ..., class_names: _Optional[_Iterable[str]] = ..., contract_json: _Optional[str] = ..., contract_hash: _Optional[str] = ..., fingerprint: _Optional[str] = ..., versions: _Optional[_Mapping[str, str]] = ..., observation_bytes_max: _Optional[int] = ...) -> None: ...

class MetadataRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Observation(_message.Message):
    __slots__ = ["arrays", "delay_steps", "images", "left_over", "sequence", "task", "task_count", "time_limit_s", "time_s"]
    class ArraysEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Array
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Array, _Mapping]] = ...) -> None: ...
    class ImagesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Image
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...
    ARRAYS_FIELD_NUMBER: _ClassVar[int]
    DELAY_STEPS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    LEFT_OVER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TASK_COUNT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_S_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    arrays: _containers.MessageMap[str, Array]
    delay_steps: int
    images: _containers.MessageMap[str, Image]
    left_over: Array
    sequence: int
    task: str
    task_count: int
    time_limit_s: float
    time_s: float
    def __init__(self, sequence: _Optional[int] = ..., time_limit_s: _Optional[float] = ..., task_count: _Optional[int] = ..., time_s: _Optional[float] = ..., task: _Optional[str] = ..., arrays: _Optional[_Mapping[str, Array]] = ..., images: _Optional[_Mapping[str, Image]] = ..., left_over: _Optional[_Union[Array, _Mapping]] = ..., delay_steps: _Optional[int] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ["client_id", "fingerprint"]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    client_id: bytes
    fingerprint: str
    def __init__(self, fingerprint: _Optional[str] = ..., client_id: _Optional[bytes] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class Refusal(_message.Message):
    __slots__ = ["reason", "sequence", "text", "timing"]
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = []
    BAD_REQUEST: Refusal.Reason
    LATE: Refusal.Reason
    POLICY: Refusal.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED: Refusal.Reason
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN: Refusal.Reason
    reason: Refusal.Reason
    sequence: int
    text: str
    timing: Timing
    def __init__(self, sequence: _Optional[int] = ..., reason: _Optional[_Union[Refusal.Reason, str]] = ..., text: _Optional[str] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ["chunk", "opened", "refusal"]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    chunk: Chunk
    opened: Opened
    refusal: Refusal
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., chunk: _Optional[_Union[Chunk, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Request(_message.Message):
    __slots__ = ["observation", "open"]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    observation: Observation
    open: Open
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., observation: _Optional[_Union[Observation, _Mapping]] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ["decode_s", "inference_s", "queue_s"]
    DECODE_S_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_S_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    decode_s: float
    inference_s: float
    queue_s: float
    def __init__(self, queue_s: _Optional[float] = ..., decode_s: _Optional[float] = ..., inference_s: _Optional[float] = ...) -> None: ...
