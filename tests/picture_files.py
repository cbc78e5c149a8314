"""PNG and JPEG files written byte by byte with the standard library alone, and PNG read so: what our readers and
writers of pictures are compared with.

Samples are rows of whole numbers, a pixel's channels side by side."""
import math
import struct
import zlib

COLOURS = {"grey": (0, 1), "rgb": (2, 3), "palette": (3, 1), "grey-alpha": (4, 2), "rgba": (6, 4)}
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # x y dx dy


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(row, depth):
    """Bytes of a row of samples."""
    if depth == 16:
        return struct.pack(">%dH" % len(row), *row)
    bits = "".join(format(v, "0%db" % depth) for v in row)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def filtered(rows, kind, width):
    """Rows of bytes behind their filter; kind 5: each row by another. width: bytes of a pixel."""
    out, above = b"", b""
    for y, row in enumerate(rows):
        k = y % 5 if kind == 5 else kind
        above = above or bytes(len(row))
        line = bytearray()
        for i, v in enumerate(row):
            a, b, c = (row[i - width] if i >= width else 0), above[i], (above[i - width] if i >= width else 0)
            line.append((v - (0, a, b, (a + b) // 2, paeth(a, b, c))[k]) % 256)
        out += bytes([k]) + bytes(line)
        above = row
    return out


def png_bytes(rows, colour="grey", depth=8, palette=None, opacity=None, interlaced=False, kind=5, extra=(), size=None):
    """extra: chunks before the pixels; size: what the header says instead of what is there."""
    code, samples = COLOURS[colour]
    width, height = len(rows[0]) // samples, len(rows)
    pixel = max(1, depth * samples // 8)
    data = b""
    for x0, y0, dx, dy in PASSES if interlaced else [(0, 0, 1, 1)]:
        part = [[v for x in range(x0, width, dx) for v in row[x * samples:(x + 1) * samples]] for row in rows[y0::dy]]
        if part and part[0]:
            data += filtered([packed(row, depth) for row in part], kind, pixel)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *(size or (width, height)), depth, code, 0, 0,
                                                               interlaced))
    for name, text in extra:
        out += chunk(name, text)
    if palette:
        out += chunk(b"PLTE", bytes(v for c in palette for v in c))
    if opacity:
        out += chunk(b"tRNS", bytes(opacity))
    return out + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def png(path, rows, **how):
    with open(path, "wb") as file:
        file.write(png_bytes(rows, **how))


def png_read(path):
    """Rows of samples, channels and depth of a file that is not interlaced and has no palette."""
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        text = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + text)
        if kind == b"IHDR":
            width, height, depth, code, _, _, interlaced = struct.unpack(">IIBBBBB", text)
        body += text if kind == b"IDAT" else b""
        at += 12 + length
    channels = dict(COLOURS.values())[code]
    assert depth >= 8 and not interlaced and code != 3
    pixel, raw = depth * channels // 8, zlib.decompress(body)
    rows, above, stride = [], bytes(width * depth * channels // 8), width * depth * channels // 8
    for y in range(height):
        k, line, row = raw[y * (stride + 1)], raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)], bytearray()
        for i, v in enumerate(line):
            a, b, c = (row[i - pixel] if i >= pixel else 0), above[i], (above[i - pixel] if i >= pixel else 0)
            row.append((v + (0, a, b, (a + b) // 2, paeth(a, b, c))[k]) % 256)
        above = bytes(row)
        rows.append(list(row) if depth == 8 else list(struct.unpack(">%dH" % (width * channels), above)))
    return rows, channels, depth


# ---- JPEG ---------------------------------------------------------------------------------------------------------

COS = [[math.cos((2 * x + 1) * u * math.pi / 16) * (math.sqrt(1 / 8) if u == 0 else 0.5) for x in range(8)] for u in range(8)]
ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i % 8 if (i // 8 + i % 8) % 2 == 0 else i // 8)))
DC = list(range(12))                                                             # 4 bits each, the code is the index
AC = [0, 0xF0] + [run << 4 | size for run in range(16) for size in range(1, 11)]  # 8 bits each


def marker(code, data=b""):
    return bytes([0xFF, code]) + (struct.pack(">H", len(data) + 2) + data if data else b"")


def coefficients(block):
    half = [[sum(COS[u][x] * block[y][x] for x in range(8)) for u in range(8)] for y in range(8)]
    whole = [[round(sum(COS[v][y] * half[y][u] for y in range(8))) for u in range(8)] for v in range(8)]
    return [whole[i // 8][i % 8] for i in ZIGZAG]


def magnitude(value):
    size = abs(value).bit_length()
    return size, format(value if value > 0 else value + (1 << size) - 1, "0%db" % size) if size else ""


def block_bits(values, before):
    size, bits = magnitude(values[0] - before)
    out, run = format(DC.index(size), "04b") + bits, 0
    for value in values[1:]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            out, run = out + format(AC.index(0xF0), "08b"), run - 16
        size, bits = magnitude(value)
        out, run = out + format(AC.index(run << 4 | size), "08b") + bits, 0
    return out + (format(0, "08b") if run else "")


def exif_bytes(orientation, order=">"):
    """A TIFF structure with that orientation alone."""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "HHHIHHI", 1, 0x112, 3, 1, orientation, 0, 0)


def planes_of(rows, channels):
    if channels in (1, 4):  # grey; four are CMYK, as nobody says otherwise
        return [[[v - 128 for v in row[c::channels]] for row in rows] for c in range(channels)]
    planes = [[], [], []]
    for row in rows:
        for plane in planes:
            plane.append([])
        for i in range(0, len(row), 3):
            r, g, b = row[i:i + 3]
            planes[0][-1].append(.299 * r + .587 * g + .114 * b - 128)
            planes[1][-1].append(-.168736 * r - .331264 * g + .5 * b)
            planes[2][-1].append(.5 * r - .418688 * g - .081312 * b)
    return planes


def jpeg_bytes(rows, channels=1, orientation=0, order=">", size=None):
    """Baseline, grey or YCbCr without subsampling, quantised by 1: decoded it is within 2 of what went in."""
    planes = planes_of(rows, channels)
    width, height = len(planes[0][0]), len(rows)
    bits, before = "", [0] * channels
    for y in range(0, height, 8):
        for x in range(0, width, 8):
            for i, plane in enumerate(planes):
                block = [[plane[min(y + v, height - 1)][min(x + u, width - 1)] for u in range(8)] for v in range(8)]
                values = coefficients(block)
                bits, before[i] = bits + block_bits(values, before[i]), values[0]
    bits += "1" * (-len(bits) % 8)
    body = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    out = marker(0xD8) + (marker(0xE1, b"Exif\0\0" + exif_bytes(orientation, order)) if orientation else b"")
    out += marker(0xDB, bytes([0]) + bytes([1] * 64))
    w, h = size or (width, height)
    out += marker(0xC0, struct.pack(">BHHB", 8, h, w, channels) + b"".join(bytes([i + 1, 0x11, 0]) for i in range(channels)))
    out += marker(0xC4, bytes([0x00] + [0, 0, 0, len(DC)] + [0] * 12 + DC))
    out += marker(0xC4, bytes([0x10] + [0] * 7 + [len(AC)] + [0] * 8 + AC))
    out += marker(0xDA, bytes([channels]) + b"".join(bytes([i + 1, 0]) for i in range(channels)) + bytes([0, 63, 0]))
    return out + body + marker(0xD9)


def jpeg(path, rows, **how):
    with open(path, "wb") as file:
        file.write(jpeg_bytes(rows, **how))
