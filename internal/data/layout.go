package data

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A layout decodes the content of one file into the images that it describes. It reads exactly the bytes that the
// layout prescribes for im.Len() images of im's shape; classes bounds the labels.
type layout func(r io.Reader, classes int, im *Images) error

// readIDXImages decodes the pixels of one-channel images from an IDX file of dimensions images x height x width.
func readIDXImages(r io.Reader, _ int, im *Images) error {
	return readIDX(r, im.Pixels, im.Len(), im.Height, im.Width)
}

// readIDXLabels decodes labels from an IDX file with one dimension.
func readIDXLabels(r io.Reader, classes int, im *Images) error {
	labels := make([]byte, im.Len())
	if err := readIDX(r, labels, im.Len()); err != nil {
		return err
	}
	for i, label := range labels {
		if err := im.setLabel(i, label, classes); err != nil {
			return err
		}
	}
	return nil
}

// readIDX reads the header of an IDX file of unsigned bytes, which must have exactly the given dimensions, and its
// values into dst. The header is the magic number 0x0800 + number of dimensions, then every dimension, as 32-bit
// big-endian integers.
func readIDX(r io.Reader, dst []byte, dims ...int) error {
	want := binary.BigEndian.AppendUint32(nil, 0x0800|uint32(len(dims)))
	for _, d := range dims {
		want = binary.BigEndian.AppendUint32(want, uint32(d))
	}
	header := make([]byte, len(want))
	if _, err := io.ReadFull(r, header); err != nil {
		return fmt.Errorf("IDX header: %w", err)
	}
	if !bytes.Equal(header, want) {
		return fmt.Errorf("IDX header is %x, want %x (unsigned bytes of dimensions %v)", header, want, dims)
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return fmt.Errorf("IDX values: %w", err)
	}
	return nil
}

// readCIFAR returns the layout of CIFAR's binary files: one record per image, labelBytes label bytes of which the last
// is the class (CIFAR-100 has the coarse label before the fine one), then the red, green and blue planes.
func readCIFAR(labelBytes int) layout {
	return func(r io.Reader, classes int, im *Images) error {
		buffered := bufio.NewReaderSize(r, 1<<16)
		labels := make([]byte, labelBytes)
		size := im.Channels * im.Height * im.Width
		for i := range im.Len() {
			if _, err := io.ReadFull(buffered, labels); err != nil {
				return fmt.Errorf("record %d: %w", i, err)
			}
			if err := im.setLabel(i, labels[labelBytes-1], classes); err != nil {
				return err
			}
			if _, err := io.ReadFull(buffered, im.Pixels[i*size:(i+1)*size]); err != nil {
				return fmt.Errorf("record %d: %w", i, err)
			}
		}
		return nil
	}
}

// setLabel stores the label of image i if it is one of the classes.
func (im *Images) setLabel(i int, label byte, classes int) error {
	if int(label) >= classes {
		return fmt.Errorf("image %d has label %d, want 0 to %d", i, label, classes-1)
	}
	im.Labels[i] = int32(label)
	return nil
}
